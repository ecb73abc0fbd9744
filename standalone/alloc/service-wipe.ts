import { isDeepStrictEqual } from 'node:util';
import type { Service, ServiceDraft, ServiceSpec, ServiceSpecDraft } from '../port.ts';
import {
	isExternallyAccessible,
	mayHaveNodePorts,
	needsClusterIp,
	needsHealthCheckPort,
} from './service-facts.ts';

/**
 * a change of type removes fields that only the old type has, unless the same update changed
 * them. Fields that the user changed stay, and validation reports them.
 */
export function wipeTypeDependents(service: ServiceDraft, old: Service): void {
	const [spec, before]: [ServiceSpecDraft, ServiceSpec] = [service.spec!, old.spec];
	const wipe = (...fields: (keyof ServiceSpecDraft)[]) => {
		for (const field of fields) if (isDeepStrictEqual(spec[field], before[field])) delete spec[field];
	};
	if (needsClusterIp(before) && !needsClusterIp(spec)) {
		wipe('clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'internalTrafficPolicy');
	}
	if (mayHaveNodePorts(before) && !mayHaveNodePorts(spec)) wipeNodePorts(spec, before);
	if (needsHealthCheckPort(before) && !needsHealthCheckPort(spec)) wipe('healthCheckNodePort');
	if (before.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
		wipe('allocateLoadBalancerNodePorts', 'loadBalancerClass');
		service.status = { ...service.status, loadBalancer: {} };
	}
	if (isExternallyAccessible(before) && !isExternallyAccessible(spec)) wipe('externalTrafficPolicy');
	if (before.type === 'ExternalName' && spec.type !== 'ExternalName') wipe('externalName');
}

function wipeNodePorts(spec: ServiceSpecDraft, before: ServiceSpec): void {
	const old = new Set((before.ports ?? []).map((port) => port.nodePort));
	for (const port of spec.ports ?? []) if (old.has(port.nodePort)) delete port.nodePort;
}

/**
 * Handles a change to SingleStack that leaves both families listed: removes the second entry of
 * each list.
 */
export function trimDowngrade(spec: ServiceSpecDraft, before: ServiceSpec): void {
	if (spec.ipFamilyPolicy !== 'SingleStack' || before.ipFamilyPolicy === 'SingleStack') return;
	for (const field of ['clusterIPs', 'ipFamilies'] as const)
		if (spec[field]?.length === 2 && isDeepStrictEqual(spec[field], before[field]))
			spec[field] = spec[field].slice(0, 1);
}
