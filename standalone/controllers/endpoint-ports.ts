import type { Pod, Service } from '../port.ts';
import type { ServicePort } from './service-info.ts';

/** A port of an EndpointSlice or an Endpoints subset. */
export interface EndpointPort {
	name: string;
	port: number;
	protocol: string;
	appProtocol?: string;
}

/** The Service's ports on this pod. Omits named target ports that the pod lacks. */
export function portsOfPod(service: Service, pod: Pod): EndpointPort[] {
	const ports: EndpointPort[] = [];
	for (const servicePort of service.spec?.ports ?? []) {
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
export function targetPort(servicePort: ServicePort, pod: Pod): number | undefined {
	const target = servicePort.targetPort || servicePort.port;
	if (typeof target === 'number') return target;
	const protocol = servicePort.protocol ?? 'TCP';
	const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
	for (const container of [...(pod.spec?.containers ?? []), ...sidecars])
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
