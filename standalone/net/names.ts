/** Names of namespaces and links. Scripts may rely on them. */
import { createHash } from 'node:crypto';

/**
 * No hyphen: with prefixes `a` and `a-b`, the cleanup of `a` would also match the names of `a-b`.
 */
const PREFIX = /^[a-z][a-z0-9]{0,14}$/;
/** Annotation of a pod: the name of its network namespace. */
export const NETNS_ANNOTATION = 'maglane.io/netns';

const NAME_LIMIT = 200;

/** @throws RangeError for a prefix that can match other names. */
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
 * The namespace name of a pod. A name that is taken or too long for a file name gets a hash.
 * @param taken whether another pod has the name: `a-b`/`c` and `a`/`b-c` would share one.
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

/** Device name of the node's end of a pod's link, at most 15 characters. */
export function podLinkName(namespace: string, pod: string, uid: string): string {
	return `veth${shortHash(`${namespace}/${pod}/${uid}`, 8)}`;
}

function shortHash(text: string, length: number): string {
	return createHash('sha256').update(text).digest('hex').slice(0, length);
}
