import { type Cidr, parseStoredCidr } from './cidr.ts';
import { child, isJson, Reader, show } from './read.ts';
import type { Parsed } from './types.ts';

/** Reads a ServiceCIDR (networking.k8s.io/v1): ranges from which ClusterIPs are allocated. */
export function parseServiceCidr(raw: unknown, key: string): Parsed<Cidr[]> {
	const reader = new Reader(`ServiceCIDR ${key}`);
	const json = isJson(raw) ? raw : {};
	if (!isJson(raw)) reader.report('', `is ${show(raw)}, expected an object`);
	const value = reader.strings(child(json, 'spec'), 'cidrs', 'spec.cidrs').flatMap(([text, path]) => {
		return parseStoredCidr(text) ?? reader.report(path, `is ${show(text)}, expected a CIDR`) ?? [];
	});
	return { value, problems: reader.problems };
}
