import { isDeepStrictEqual } from 'node:util';
import {
	type FieldError,
	forbiddenField,
	invalidField,
	requiredField,
	unsupportedField,
} from '../api/field-error.ts';
import { validateLabels } from '../api/meta.ts';
import { dnsSubdomain } from '../api/names.ts';
import { isOneOf } from '../api/one-of.ts';
import type { Service, ServiceDraft, ServiceSpec, ServiceSpecDraft } from '../port.ts';
import { isExternallyAccessible, needsClusterIp, needsHealthCheckPort } from './service-facts.ts';
import { validateClusterIps, validateIps, validateSourceRanges } from './service-validate-addresses.ts';
import { validateServicePorts } from './service-validate-ports.ts';

const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const TRAFFIC_POLICIES = ['Cluster', 'Local'];
const AFFINITIES = ['ClientIP', 'None'];
const DISTRIBUTIONS = ['PreferClose', 'PreferSameNode', 'PreferSameZone'];
const MAX_AFFINITY = 86_400;
const ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'";

function validateAffinity(spec: ServiceSpecDraft): FieldError[] {
	if (!isOneOf(AFFINITIES, spec.sessionAffinity))
		return [unsupportedField('spec.sessionAffinity', spec.sessionAffinity, AFFINITIES)];
	const field = 'spec.sessionAffinityConfig';
	if (spec.sessionAffinity === 'None')
		return spec.sessionAffinityConfig === undefined
			? []
			: [forbiddenField(field, 'must not be set when session affinity is None')];
	const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
	if (Number.isInteger(seconds) && seconds! > 0 && seconds! <= MAX_AFFINITY) return [];
	const limit = `must be greater than 0 and less than ${MAX_AFFINITY}`;
	return [invalidField(`${field}.clientIP.timeoutSeconds`, seconds, limit)];
}

function validateTrafficPolicies(spec: ServiceSpecDraft): FieldError[] {
	const faults: FieldError[] = [];
	const {
		externalTrafficPolicy: external,
		internalTrafficPolicy: internal,
		healthCheckNodePort: health,
	} = spec;
	if (external !== undefined) {
		if (!isExternallyAccessible(spec))
			faults.push(
				invalidField(
					'spec.externalTrafficPolicy',
					external,
					'may only be set for externally-accessible services',
				),
			);
		else if (!TRAFFIC_POLICIES.includes(external))
			faults.push(unsupportedField('spec.externalTrafficPolicy', external, TRAFFIC_POLICIES));
	}
	if (internal !== undefined && !TRAFFIC_POLICIES.includes(internal))
		faults.push(unsupportedField('spec.internalTrafficPolicy', internal, TRAFFIC_POLICIES));
	if (health !== undefined && !needsHealthCheckPort(spec))
		faults.push(
			invalidField(
				'spec.healthCheckNodePort',
				health,
				"may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
			),
		);
	return faults;
}

function validateExternalName(spec: ServiceSpecDraft): FieldError[] {
	if (spec.type !== 'ExternalName') return [];
	const name = spec.externalName;
	if (typeof name !== 'string' || name === '') return [requiredField('spec.externalName')];
	return dnsSubdomain(name.replace(/\.$/, '')).map((fault) => invalidField('spec.externalName', name, fault));
}

function validateLoadBalancerFields(spec: ServiceSpecDraft): FieldError[] {
	const faults: FieldError[] = [];
	for (const field of ['allocateLoadBalancerNodePorts', 'loadBalancerClass'] as const)
		if (spec[field] !== undefined && spec.type !== 'LoadBalancer')
			faults.push(forbiddenField(`spec.${field}`, ONLY_LOAD_BALANCER));
	const distribution = spec.trafficDistribution;
	if (distribution !== undefined && !DISTRIBUTIONS.includes(distribution))
		faults.push(unsupportedField('spec.trafficDistribution', distribution, DISTRIBUTIONS));
	return faults;
}

function validateStatus(service: ServiceDraft): FieldError[] {
	const ingress = service.status?.loadBalancer?.ingress;
	if (!Array.isArray(ingress)) return [];
	const field = 'status.loadBalancer.ingress';
	return ingress.flatMap((entry, at) =>
		entry?.ip === undefined ? [] : validateIps(`${field}[${at}].ip`, [entry.ip], false),
	);
}

/** Validates a defaulted Service. Messages are those of kubernetes pkg/apis/core/validation. */
export function validateService(service: ServiceDraft): FieldError[] {
	const spec = service.spec;
	if (typeof spec !== 'object' || spec === null) return [invalidField('spec', spec, 'must be an object')];
	return [
		...(isOneOf(TYPES, spec.type) ? [] : [unsupportedField('spec.type', spec.type, TYPES)]),
		...validateServicePorts(spec),
		...validateAffinity(spec),
		...validateLabels(spec.selector, 'spec.selector'),
		...validateClusterIps(spec),
		...validateIps('spec.externalIPs', spec.externalIPs, true),
		...validateSourceRanges(spec),
		...validateTrafficPolicies(spec),
		...validateExternalName(spec),
		...validateLoadBalancerFields(spec),
		...validateStatus(service),
	];
}

const ONCE = 'may not change once set';

function validateSecondary(spec: ServiceSpecDraft, before: ServiceSpec): FieldError[] {
	const faults: FieldError[] = [];
	const policy = spec.ipFamilyPolicy;
	if (before.clusterIPs?.length === 2 && spec.clusterIPs?.length === 1 && policy !== 'SingleStack')
		faults.push(
			invalidField(
				'spec.ipFamilyPolicy',
				policy,
				"must be 'SingleStack' to release the secondary cluster IP",
			),
		);
	if (
		before.clusterIPs?.length === 2 &&
		spec.clusterIPs?.length === 2 &&
		before.clusterIPs[1] !== spec.clusterIPs[1]
	)
		faults.push(invalidField('spec.clusterIPs[1]', spec.clusterIPs, ONCE));
	if (before.ipFamilies?.length === 2 && spec.ipFamilies?.length === 1 && policy !== 'SingleStack')
		faults.push(
			invalidField('spec.ipFamilyPolicy', policy, "must be 'SingleStack' to release the secondary IP family"),
		);
	if (
		before.ipFamilies?.length === 2 &&
		spec.ipFamilies?.length === 2 &&
		before.ipFamilies[1] !== spec.ipFamilies[1]
	)
		faults.push(invalidField('spec.ipFamilies[1]', spec.ipFamilies[1], ONCE));
	return faults;
}

/** rejects changes of immutable fields. */
export function validateServiceUpdate(service: ServiceDraft, old: Service): FieldError[] {
	const [spec, before]: [ServiceSpecDraft, ServiceSpec] = [service.spec!, old.spec];
	const faults: FieldError[] = [];
	if (needsClusterIp(before) && needsClusterIp(spec)) {
		if (before.clusterIPs?.[0] && spec.clusterIPs?.[0] !== before.clusterIPs[0])
			faults.push(invalidField('spec.clusterIPs[0]', spec.clusterIPs ?? [], ONCE));
		if (before.ipFamilies?.[0] && spec.ipFamilies?.[0] !== before.ipFamilies[0])
			faults.push(invalidField('spec.ipFamilies[0]', spec.ipFamilies?.[0], ONCE));
		faults.push(...validateSecondary(spec, before));
	}
	if (needsHealthCheckPort(before) && needsHealthCheckPort(spec) && before.healthCheckNodePort)
		if (spec.healthCheckNodePort !== before.healthCheckNodePort)
			faults.push(forbiddenField('spec.healthCheckNodePort', 'field is immutable'));
	if (before.type === 'LoadBalancer' && spec.type === 'LoadBalancer')
		if (!isDeepStrictEqual(before.loadBalancerClass, spec.loadBalancerClass))
			faults.push(invalidField('spec.loadBalancerClass', spec.loadBalancerClass, ONCE));
	return faults;
}
