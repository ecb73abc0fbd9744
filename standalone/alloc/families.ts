import { type FieldError, invalidField } from '../api/field-error.ts';
import type { ServiceSpec } from '../port.ts';
import { type Family, familyOf } from './ip-range.ts';
import { hasSelector, isHeadless, NONE } from './service-facts.ts';

/** The cluster's families, primary first. */
export type Cluster = readonly Family[];

const other = (family: string): Family => (family === 'IPv4' ? 'IPv6' : 'IPv4');
const isDual = (policy: string | undefined): boolean =>
	policy === 'PreferDualStack' || policy === 'RequireDualStack';

function defaultPolicy(spec: ServiceSpec): void {
	if (spec.ipFamilyPolicy) return;
	const many = spec.clusterIPs?.length === 2 || spec.ipFamilies?.length === 2;
	const headlessAlone = isHeadless(spec) && !hasSelector(spec);
	spec.ipFamilyPolicy = many || headlessAlone ? 'RequireDualStack' : 'SingleStack';
}

/** Infers missing ipFamilies from the clusterIPs. */
function inferFamilies(spec: ServiceSpec): void {
	const families: string[] = [...(spec.ipFamilies ?? [])];
	for (const [at, ip] of (spec.clusterIPs ?? []).entries()) {
		const family = ip === NONE ? undefined : familyOf(ip);
		if (family && at >= families.length) families.push(family);
	}
	if (families.length > 0) spec.ipFamilies = families;
}

const POLICY = 'spec.ipFamilyPolicy';

function checkAgreement(spec: ServiceSpec): FieldError[] {
	const { clusterIPs = [], ipFamilies = [], ipFamilyPolicy } = spec;
	const faults: FieldError[] = [];
	if (!isDual(ipFamilyPolicy)) {
		const need = "must be 'RequireDualStack' or 'PreferDualStack' when multiple";
		if (clusterIPs.length === 2)
			faults.push(invalidField(POLICY, ipFamilyPolicy, `${need} cluster IPs are specified`));
		if (ipFamilies.length === 2)
			faults.push(invalidField(POLICY, ipFamilyPolicy, `${need} IP families are specified`));
	}
	for (const [at, ip] of clusterIPs.entries()) {
		const family = ip === NONE ? undefined : familyOf(ip);
		if (family && ipFamilies[at] && family !== ipFamilies[at])
			faults.push(
				invalidField(
					`spec.clusterIPs[${at}]`,
					ip,
					`expected an ${ipFamilies[at]} value as indicated by \`ipFamilies[${at}]\``,
				),
			);
	}
	return faults;
}

function checkCluster(spec: ServiceSpec, cluster: readonly string[]): FieldError[] {
	const faults: FieldError[] = [];
	for (const [at, family] of (spec.ipFamilies ?? []).entries())
		if (!cluster.includes(family))
			faults.push(invalidField(`spec.ipFamilies[${at}]`, family, 'not configured on this cluster'));
	if (spec.ipFamilyPolicy === 'RequireDualStack' && cluster.length < 2)
		faults.push(
			invalidField(POLICY, spec.ipFamilyPolicy, 'this cluster is not configured for dual-stack services'),
		);
	return faults;
}

/**
 * sets ipFamilyPolicy and ipFamilies of a Service that has or requests addresses. The order of
 * the steps is the one of kubernetes pkg/registry/core/service/storage/alloc.go.
 */
export function initFamilies(spec: ServiceSpec, cluster: Cluster): FieldError[] {
	defaultPolicy(spec);
	inferFamilies(spec);
	const faults = checkAgreement(spec);
	if (faults.length > 0) return faults;
	// No traffic uses the families of a headless Service without selector: the user's endpoints may
	// have any family
	const headlessAlone = isHeadless(spec) && !hasSelector(spec);
	if (!headlessAlone) {
		const unfit = checkCluster(spec, cluster);
		if (unfit.length > 0) return unfit;
	}
	spec.ipFamilies ??= [cluster[0]!];
	const wantsBoth = isDual(spec.ipFamilyPolicy) && (headlessAlone || cluster.length === 2);
	if (spec.ipFamilies.length === 1 && wantsBoth)
		spec.ipFamilies = [spec.ipFamilies[0]!, other(spec.ipFamilies[0]!)];
	return [];
}
