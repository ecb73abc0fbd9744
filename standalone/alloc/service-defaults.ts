import type { ServiceDraft, ServicePortDraft, ServiceSpec, ServiceSpecDraft } from '../port.ts';
import { isExternallyAccessible, mayHaveNodePorts, needsClusterIp } from './service-facts.ts';

const AFFINITY_SECONDS = 10_800;

/** The static defaults of v1.Service. Families, addresses and ports are allocated later. */
export function defaultService(service: ServiceDraft): void {
	service.spec ??= {};
	const spec = service.spec;
	if (typeof spec !== 'object') return;
	spec.sessionAffinity ??= 'None';
	spec.type ??= 'ClusterIP';
	if (spec.sessionAffinity === 'None' && spec.sessionAffinityConfig === null)
		delete spec.sessionAffinityConfig;
	if (spec.sessionAffinity === 'ClientIP') {
		spec.sessionAffinityConfig ??= {};
		spec.sessionAffinityConfig.clientIP ??= {};
		spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= AFFINITY_SECONDS;
	}
	for (const port of Array.isArray(spec.ports) ? spec.ports : []) defaultPort(port);
	if (isExternallyAccessible(spec)) spec.externalTrafficPolicy ??= 'Cluster';
	if (needsClusterIp(spec)) spec.internalTrafficPolicy ??= 'Cluster';
	if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
	for (const field of ['clusterIP', 'externalTrafficPolicy', 'externalName', 'loadBalancerIP'] as const)
		if (spec[field] === '') delete spec[field];
	for (const field of [
		'clusterIPs',
		'ipFamilies',
		'externalIPs',
		'loadBalancerSourceRanges',
		'ports',
	] as const)
		if (spec[field] === null || spec[field]?.length === 0) delete spec[field];
	if (spec.healthCheckNodePort === 0) delete spec.healthCheckNodePort;
	service.status ??= {};
	service.status.loadBalancer ??= {};
}

function defaultPort(port: ServicePortDraft): void {
	if (typeof port !== 'object' || port === null) return;
	port.protocol ??= 'TCP';
	if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '')
		port.targetPort = port.port;
	if (port.nodePort === 0) delete port.nodePort;
	if (port.name === '') delete port.name;
}

/** On create, copies the singular clusterIP of an old client to clusterIPs. */
export function normaliseCreate(spec: ServiceSpecDraft): void {
	if (spec.clusterIP && !spec.clusterIPs?.length) spec.clusterIPs = [spec.clusterIP];
}

const same = (a: readonly string[] = [], b: readonly string[] = []): boolean =>
	a.length === b.length && a.every((entry, at) => entry === b[at]);

/** On update, accepts clients that know or change only the singular clusterIP. */
export function normaliseUpdate(spec: ServiceSpecDraft, old: ServiceSpec): void {
	if (
		old.clusterIPs?.length &&
		!spec.clusterIPs?.length &&
		old.clusterIP === spec.clusterIP &&
		spec.clusterIP
	)
		spec.clusterIPs = [...old.clusterIPs];
	if (old.clusterIP === spec.clusterIP || !same(old.clusterIPs, spec.clusterIPs)) return;
	if (old.clusterIP && !spec.clusterIP) delete spec.clusterIPs;
	else if (spec.clusterIP) spec.clusterIPs = [spec.clusterIP];
}

/** Keeps allocated values that a PUT omits (R-4, last sentence). */
export function keepAllocated(spec: ServiceSpecDraft, old: ServiceSpec): void {
	if (needsClusterIp(spec) && needsClusterIp(old)) {
		if (!spec.clusterIP && !spec.clusterIPs?.length && old.clusterIP) {
			spec.clusterIP = old.clusterIP;
			spec.clusterIPs = [...(old.clusterIPs ?? [])];
		}
		if (!spec.ipFamilyPolicy && old.ipFamilyPolicy) spec.ipFamilyPolicy = old.ipFamilyPolicy;
		if (!spec.ipFamilies?.length && old.ipFamilies && same(spec.clusterIPs, old.clusterIPs))
			spec.ipFamilies = [...old.ipFamilies];
	}
	if (mayHaveNodePorts(spec) && mayHaveNodePorts(old)) keepNodePorts(spec, old);
	if (
		spec.healthCheckNodePort === undefined &&
		old.healthCheckNodePort !== undefined &&
		spec.type === 'LoadBalancer'
	)
		spec.healthCheckNodePort = old.healthCheckNodePort;
}

const protocolPort = (port: ServicePortDraft): string => `${port.protocol}/${port.nodePort}`;

function keepNodePorts(spec: ServiceSpecDraft, old: ServiceSpec): void {
	const oldByName = new Map((old.ports ?? []).map((port) => [port.name ?? '', port]));
	const taken = new Set((spec.ports ?? []).filter((port) => port.nodePort).map(protocolPort));
	for (const port of spec.ports ?? []) {
		const before = oldByName.get(port.name ?? '');
		if (port.nodePort || !before?.nodePort) continue;
		const key = `${port.protocol}/${before.nodePort}`;
		if (taken.has(key)) continue;
		port.nodePort = before.nodePort;
		taken.add(key);
	}
}
