import type { KubeObject } from '../port.ts';
import type { ServicePort } from './service-info.ts';

/** A port of an EndpointSlice or an Endpoints subset. */
export interface EndpointPort {
	name: string;
	port: number;
	protocol: string;
	appProtocol?: string;
}

interface Container {
	restartPolicy?: string;
	ports?: { name?: string; containerPort: number; protocol?: string }[];
}

/** The Service's ports on this pod. Omits named target ports that the pod lacks. */
export function portsOfPod(service: KubeObject, pod: KubeObject): EndpointPort[] {
	const ports: EndpointPort[] = [];
	for (const servicePort of (service.spec?.ports ?? []) as ServicePort[]) {
		const port = targetPort(servicePort, pod);
		if (port === undefined) continue;
		const { name = '', protocol = 'TCP', appProtocol } = servicePort;
		ports.push({ name, port, protocol, ...(appProtocol ? { appProtocol } : {}) });
	}
	return ports;
}

/**
 * Resolves a target port. Searches a name in the containers, then in the sidecars (initContainers
 * that always restart). The protocol must match the Service's port.
 */
export function targetPort(servicePort: ServicePort, pod: KubeObject): number | undefined {
	const target = servicePort.targetPort || servicePort.port;
	if (typeof target === 'number') return target;
	const protocol = servicePort.protocol ?? 'TCP';
	const sidecars = ((pod.spec?.initContainers ?? []) as Container[]).filter(
		({ restartPolicy }) => restartPolicy === 'Always',
	);
	for (const container of [...((pod.spec?.containers ?? []) as Container[]), ...sidecars])
		for (const port of container.ports ?? [])
			if (port.name === target && (port.protocol ?? 'TCP') === protocol) return port.containerPort;
	return undefined;
}

export function sortPorts(ports: readonly EndpointPort[]): EndpointPort[] {
	return ports.toSorted(
		(a, b) => compare(a.name, b.name) || compare(a.protocol, b.protocol) || a.port - b.port,
	);
}

/** A key for comparison: equal keys mean equal ports. */
export function portsKey(ports: readonly EndpointPort[]): string {
	const fields = sortPorts(ports).map((p) => [p.name, p.protocol, p.port, p.appProtocol ?? '']);
	return JSON.stringify(fields);
}

function compare(a: string, b: string): number {
	return a < b ? -1 : a > b ? 1 : 0;
}
