/** Names of namespaces and links, stable for scripts. */
import { createHash } from 'node:crypto';

/** No hyphen: `a` and `a-b` side by side could not be told apart when everything of one is removed. */
const PREFIX = /^[a-z][a-z0-9]{0,14}$/;
/** On a pod: the name of the network namespace that it is in. */
export const NETNS_ANNOTATION = 'maglane.io/netns';

const NAME_LIMIT = 200;

/** @throws RangeError for a prefix that could be part of other names. */
export function checkPrefix(prefix: string): string {
	if (PREFIX.test(prefix)) return prefix;
	throw new RangeError(
		`Cannot use the prefix ${JSON.stringify(prefix)}: expected 1 to 15 of a-z and 0-9, first a letter`,
	);
}

export function nodeName(number: number): string {
	return `node${number}`;
}

export function nodeNamespace(prefix: string, node: string): string {
	return `${prefix}-${node}`;
}

export function clientNamespace(prefix: string): string {
	return `${prefix}-client`;
}

/**
 * `taken` answers whether another pod has the name: `a-b`/`c` and `a`/`b-c` would share one. Pod names may be longer
 * than a file name: those are cut and made unique by a hash.
 */
export function podNamespace(
	prefix: string,
	namespace: string,
	pod: string,
	taken: (name: string) => boolean = () => false,
): string {
	const plain = `${prefix}-${namespace}-${pod}`;
	if (plain.length <= NAME_LIMIT && !taken(plain)) return plain;
	return `${plain.slice(0, NAME_LIMIT - 9)}-${shortHash(`${namespace}/${pod}`, 8)}`;
}

/** The node's end of a pod's link, within the 15 characters of a device name. */
export function podLinkName(namespace: string, pod: string, uid: string): string {
	return `veth${shortHash(`${namespace}/${pod}/${uid}`, 8)}`;
}

function shortHash(text: string, length: number): string {
	return createHash('sha256').update(text).digest('hex').slice(0, length);
}
