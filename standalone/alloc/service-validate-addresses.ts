import ipaddr from 'ipaddr.js';
import {
	duplicateField,
	type FieldError,
	forbiddenField,
	invalidField,
	unsupportedField,
} from '../api/field-error.ts';
import type { ServiceSpecDraft } from '../port.ts';
import { familyOf } from './ip-range.ts';
import { NONE } from './service-facts.ts';

const FAMILIES = ['IPv4', 'IPv6'];
const POLICIES = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];

export const IP_TEXT = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
export const CIDR_TEXT = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';

const isIp = (value: unknown): value is string => typeof value === 'string' && familyOf(value) !== undefined;

/** Reasons why an address cannot be an endpoint address or an external IP. */
export function specialAddress(address: string): string[] {
	const parsed = ipaddr.parse(address);
	const range = parsed.range();
	if (range === 'unspecified') return [`may not be unspecified (${address})`];
	if (range === 'loopback') return ['may not be in the loopback range (127.0.0.0/8, ::1/128)'];
	if (range === 'linkLocal') return ['may not be in the link-local range (169.254.0.0/16, fe80::/10)'];
	const v4 = parsed.kind() === 'ipv4';
	const local = v4 ? ipaddr.parseCIDR('224.0.0.0/24') : ipaddr.parseCIDR('ff02::/16');
	if (parsed.match(local)) return ['may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)'];
	return [];
}

export function validateIps(field: string, values: unknown, special: boolean): FieldError[] {
	if (values === undefined) return [];
	if (!Array.isArray(values)) return [invalidField(field, values, 'must be a list')];
	return values.flatMap((value: unknown, at) => {
		if (!isIp(value)) return [invalidField(`${field}[${at}]`, value, IP_TEXT)];
		return special ? specialAddress(value).map((fault) => invalidField(`${field}[${at}]`, value, fault)) : [];
	});
}

/**
 * kube-proxy and the API accept ranges of legacy manifests: with surrounding spaces and leading
 * zeros.
 */
function isCidr(value: unknown): boolean {
	if (typeof value !== 'string') return false;
	const [address = '', prefix = ''] = value.trim().split('/');
	const plain = address.includes(':') ? address : address.replace(/\b0+(?=\d)/g, '');
	const family = familyOf(plain);
	return family !== undefined && /^\d+$/.test(prefix) && Number(prefix) <= (family === 'IPv4' ? 32 : 128);
}

export function validateSourceRanges(spec: ServiceSpecDraft): FieldError[] {
	const ranges = spec.loadBalancerSourceRanges;
	if (ranges === undefined) return [];
	const field = 'spec.LoadBalancerSourceRanges';
	if (spec.type !== 'LoadBalancer')
		return [forbiddenField(field, "may only be used when `type` is 'LoadBalancer'")];
	if (!Array.isArray(ranges)) return [invalidField(field, ranges, 'must be a list')];
	return ranges
		.filter((range) => !isCidr(range))
		.map((range) => invalidField(field, ranges, `${range}: ${CIDR_TEXT}`));
}

function validateFamilies(spec: ServiceSpecDraft): FieldError[] {
	const faults: FieldError[] = [];
	const families = spec.ipFamilies ?? [];
	if (!Array.isArray(families)) return [invalidField('spec.ipFamilies', families, 'must be a list')];
	if (families.length > 2)
		faults.push(invalidField('spec.ipFamilies', families, 'may only hold up to 2 values'));
	for (const [at, family] of families.entries()) {
		const field = `spec.ipFamilies[${at}]`;
		if (!FAMILIES.includes(family)) faults.push(unsupportedField(field, family, FAMILIES));
		else if (families.indexOf(family) < at) faults.push(duplicateField(field, family));
	}
	if (spec.ipFamilyPolicy !== undefined && !POLICIES.includes(spec.ipFamilyPolicy))
		faults.push(unsupportedField('spec.ipFamilyPolicy', spec.ipFamilyPolicy, POLICIES));
	return faults;
}

function validateClusterIpList(ips: unknown[]): FieldError[] {
	const field = 'spec.clusterIPs';
	if (ips.length > 2) return [invalidField(field, ips, 'may only hold up to 2 values')];
	const faults = ips.flatMap((ip, at) => {
		if (ip === NONE)
			return at > 0 || ips.length > 1
				? [invalidField(field, ips, "'None' must be the first and only value")]
				: [];
		return isIp(ip) ? [] : [invalidField(`${field}[${at}]`, ip, IP_TEXT)];
	});
	const [first, second] = ips;
	if (isIp(first) && isIp(second) && familyOf(first) === familyOf(second))
		faults.push(invalidField(field, ips, 'may specify no more than one IP for each IP family'));
	return faults;
}

/**
 * Checks clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy against each other. Allocation checks
 * them against the cluster.
 */
export function validateClusterIps(spec: ServiceSpecDraft): FieldError[] {
	if (spec.type === 'ExternalName')
		return (['clusterIPs', 'ipFamilies', 'ipFamilyPolicy'] as const)
			.filter((field) => spec[field] !== undefined)
			.map((field) => forbiddenField(`spec.${field}`, 'may not be set for ExternalName services'));
	const ips = spec.clusterIPs ?? [];
	if (!Array.isArray(ips)) return [invalidField('spec.clusterIPs', ips, 'must be a list')];
	const faults: FieldError[] = [];
	if (ips.length > 0 && !spec.clusterIP)
		faults.push(invalidField('spec.clusterIPs', ips, 'must be empty when `clusterIP` is not specified'));
	else if (ips.length > 0 && ips[0] !== spec.clusterIP)
		faults.push(invalidField('spec.clusterIPs[0]', ips[0], 'must match `clusterIP`'));
	if (ips[0] === NONE && (spec.type === 'NodePort' || spec.type === 'LoadBalancer'))
		faults.push(
			invalidField('spec.clusterIPs[0]', NONE, `may not be set to 'None' for ${spec.type} services`),
		);
	return [...faults, ...validateClusterIpList(ips), ...validateFamilies(spec)];
}
