import type { Manifest } from './case.ts';

interface RawService extends Manifest {
	readonly spec: {
		readonly type?: string;
		readonly ports: readonly { name?: string; port: number; targetPort?: number; protocol?: string }[];
	};
}

/**
 * Adds the state that a dual-stack cluster gives the Services of an application: addresses, node
 * ports, and two ready endpoints of each family. One endpoint of each family is on this node.
 */
export function deployed(manifests: readonly Manifest[]): Manifest[] {
	const services = manifests.filter((m): m is RawService => m.kind === 'Service');
	return services.flatMap((service, i) => {
		const ports = service.spec.ports.map((port) => {
			return { ...port, ...(service.spec.type === 'LoadBalancer' ? { nodePort: 30001 + i } : {}) };
		});
		const clusterIPs = [`10.96.1.${i + 1}`, `fd00:10:96::1:${i + 1}`];
		const metadata = { ...service.metadata, creationTimestamp: '2026-01-01T00:00:00Z' };
		const spec = { ...service.spec, clusterIPs, ports };
		return [{ ...service, metadata, spec }, slice(service, 'IPv4', i), slice(service, 'IPv6', i)];
	});
}

function slice(service: RawService, addressType: 'IPv4' | 'IPv6', i: number): Manifest {
	const address = (node: number) =>
		addressType === 'IPv4' ? `10.244.${node}.${i + 2}` : `fd00:244:${node}::${i + 2}`;
	return {
		kind: 'EndpointSlice',
		metadata: {
			name: `${service.metadata.name}-${addressType.toLowerCase()}`,
			labels: { 'kubernetes.io/service-name': service.metadata.name },
		},
		addressType,
		endpoints: [1, 2].map((node) => ({
			addresses: [address(node)],
			nodeName: `node${node}`,
			conditions: { ready: true },
		})),
		ports: service.spec.ports.map(({ name, port, targetPort, protocol }) => {
			return { name, port: targetPort ?? port, protocol };
		}),
	};
}
