/**
 * Secrets of type kubernetes.io/service-account-token, with which clients still create tokens
 * without expiry.
 */
import type { ObjectApi, Secret, ServiceAccount } from '../port.ts';
import type { Tokens } from './tokens.ts';

const TYPE = 'kubernetes.io/service-account-token';
const NAME = 'kubernetes.io/service-account.name';
const UID = 'kubernetes.io/service-account.uid';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/**
 * Fills such Secrets with a token, like the token controller.
 * @param authority PEM.
 * @returns a function that stops it.
 */
export function followTokenSecrets(objects: ObjectApi, tokens: Tokens, authority: string): () => void {
	const accountOf = (secret: Secret): ServiceAccount | undefined =>
		objects.get('serviceaccounts', secret.metadata.namespace, secret.metadata.annotations?.[NAME] ?? '');
	const fill = async ({ metadata }: Secret): Promise<void> => {
		const { namespace = '', name, uid = '' } = metadata;
		const found = objects.get('secrets', namespace, name);
		const account = found?.metadata.uid === uid ? accountOf(found) : undefined;
		if (!account) return;
		const { token } = await tokens.issue({ account, bound: { kind: 'Secret', name, uid } });
		const secret = objects.get('secrets', namespace, name);
		if (secret?.metadata.uid !== uid) return;
		const annotations = { ...secret.metadata.annotations, [UID]: account.metadata.uid ?? '' };
		const data = {
			...secret.data,
			'ca.crt': base64(authority),
			namespace: base64(namespace),
			token: base64(token),
		};
		objects.update('secrets', { ...secret, metadata: { ...secret.metadata, annotations }, data });
	};
	return objects.watch('secrets', ({ type, object }) => {
		if (type === 'DELETED' || object.type !== TYPE || object.data?.['token']) return;
		// if the object changed in the meantime, another event follows
		fill(object).catch(() => {});
	});
}
