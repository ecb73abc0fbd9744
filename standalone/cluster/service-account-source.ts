import type { Api } from '../api/index.ts';
import { POD_TOKEN_SECONDS } from '../auth/tokens.ts';
import type { ServiceAccountSource } from '../node/service-account-files.ts';

/**
 * Issues a token for each pod, bound to the pod, unless its token mount is disabled.
 * @param authority PEM.
 */
export function serviceAccountSource({ objects, tokens }: Api, authority: string): ServiceAccountSource {
	return async (pod) => {
		const { namespace = '', name, uid = '' } = pod.metadata;
		const accountName = pod.spec?.serviceAccountName || 'default';
		const account = objects.get('serviceaccounts', namespace, accountName);
		if (!account || !tokens) return `the pod has no token: serviceaccount "${accountName}" not found`;
		const automount = pod.spec?.automountServiceAccountToken ?? account.automountServiceAccountToken;
		if (automount === false) return undefined;
		const bound = { kind: 'Pod', name, uid } as const;
		const { token } = await tokens.issue({ account, bound, seconds: POD_TOKEN_SECONDS });
		return { token, authority, namespace };
	};
}
