/** Kubernetes objects as a watch delivers them, for tests of the control loop. */
export interface ServiceOptions {
	readonly ips?: readonly string[];
	readonly ports?: readonly (object | null)[];
	readonly spec?: object;
	readonly meta?: object;
	readonly status?: object;
}

export function service(key: string, options: ServiceOptions = {}): object {
	const [namespace, name] = key.split('/');
	const ports = options.ports ?? [{ port: 80, protocol: 'TCP', targetPort: 8080 }];
	return {
		metadata: { namespace, name, creationTimestamp: '2026-01-01T00:00:00Z', ...options.meta },
		spec: { type: 'ClusterIP', clusterIPs: options.ips ?? ['10.96.0.1'], ports, ...options.spec },
		status: options.status,
	};
}

export interface EndpointOptions {
	readonly ip: string;
	readonly node?: string;
	readonly conditions?: object;
	readonly hints?: object;
}

export function endpoint(options: EndpointOptions | string): object {
	const { ip, node, conditions, hints } =
		typeof options === 'string' ? ({ ip: options } as EndpointOptions) : options;
	return { addresses: [ip], nodeName: node ?? 'node2', conditions: conditions ?? {}, hints };
}

export function slice(
	service: string,
	endpoints: readonly (EndpointOptions | string)[],
	ports: readonly object[] = [{ port: 8080, protocol: 'TCP' }],
): object {
	const first = endpoints[0];
	const ip = typeof first === 'string' ? first : (first?.ip ?? '');
	return {
		metadata: { labels: { 'kubernetes.io/service-name': service } },
		addressType: ip.includes(':') ? 'IPv6' : 'IPv4',
		endpoints: endpoints.map(endpoint),
		ports,
	};
}

export function node(addresses: readonly string[] = ['192.168.10.11', 'fd00:10::11'], zone = ''): object {
	return {
		metadata: { name: 'node1', labels: zone === '' ? {} : { 'topology.kubernetes.io/zone': zone } },
		status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
	};
}
