import { expect, test } from 'vitest';
import { HostPorts } from '../../agent/host-ports.ts';
import type { EndpointsKind } from '../../agent/model/store.ts';
import { Store } from '../../agent/model/store.ts';
import { translate } from '../../agent/model/translate.ts';

const NODE = ['192.168.10.11', 'fd00:10::11'];

interface PodPort {
	hostPort?: number;
	containerPort: number;
	hostIP?: string;
	protocol?: string;
}
const pod = (name: string, ip: number, ports: PodPort[], more: object = {}) => ({
	metadata: { name, namespace: 'a' },
	spec: { nodeName: 'node1', containers: [{ ports }], ...more },
	status: { phase: 'Running', podIPs: [{ ip: `10.244.1.${ip}` }, { ip: `fd00:244:1::${ip}` }] },
});

/** A store behind the sinks, and what it says. */
function rig(kind: EndpointsKind = 'endpointslices') {
	const store = new Store({ nodeName: 'node1', serviceCidrLimit: 8 });
	store.endpointsKind = kind;
	let listed = 0;
	const sink = (set: (key: string, raw: unknown) => void) => ({
		upsert: set,
		remove: (key: string) => set(key, undefined),
		listed: () => {
			listed++;
		},
	});
	const hostPorts = new HostPorts(
		{
			services: sink((key, raw) => store.setService(key, raw)),
			endpoints: sink((key, raw) => store.setEndpoints(key, raw)),
		},
		kind,
	);
	hostPorts.setNodeAddresses(NODE);
	const frontends = () => {
		store.take();
		return [...store.services.values()]
			.flatMap((service) => translate(service, store.sources(service.key), store.node).frontends)
			.filter(({ scope }) => scope === 'external')
			.map(({ claim, backends }) => `${claim} -> ${backends.map(({ key }) => key)}`)
			.sort();
	};
	return { store, hostPorts, frontends, listed: () => listed };
}

test('a host port leads from all addresses of the node to the pod, ready or not (R-A9)', () => {
	const { hostPorts, frontends, store } = rig();
	hostPorts.pods.upsert(
		'a/web',
		pod('web', 2, [{ hostPort: 80, containerPort: 8080 }, { containerPort: 9 }]),
	);
	expect(frontends()).toEqual([
		expect.stringMatching(/^192\.168\.10\.11:80\/tcp -> .*10\.244\.1\.2:8080/),
		expect.stringMatching(/^\[fd00:10::11\]:80\/tcp -> .*\[fd00:244:1::2\]:8080/),
	]);
	expect(store.problems()).toEqual([]);
});

test('host ports of one number on other addresses or with another protocol do not conflict (R-A9)', () => {
	const { hostPorts, frontends } = rig();
	const port = { hostPort: 80, containerPort: 8080 };
	hostPorts.pods.upsert('a/four', pod('four', 2, [{ ...port, hostIP: NODE[0]! }]));
	hostPorts.pods.upsert('a/six', pod('six', 3, [{ ...port, hostIP: NODE[1]! }]));
	hostPorts.pods.upsert('a/udp', pod('udp', 4, [{ ...port, protocol: 'UDP', hostIP: '0.0.0.0' }]));
	expect(frontends()).toEqual([
		expect.stringMatching(/^192\.168\.10\.11:80\/tcp -> .*10\.244\.1\.2:8080/),
		expect.stringMatching(/^192\.168\.10\.11:80\/udp -> .*10\.244\.1\.4:8080/),
		expect.stringMatching(/^\[fd00:10::11\]:80\/tcp -> .*\[fd00:244:1::3\]:8080/),
		expect.stringMatching(/^\[fd00:10::11\]:80\/udp -> .*\[fd00:244:1::4\]:8080/),
	]);
});

test.each(['endpointslices', 'endpoints'] as const)(
	'a pod that goes takes its host ports along (%s)',
	(kind) => {
		const { hostPorts, frontends, store } = rig(kind);
		const ports = [{ hostPort: 80, containerPort: 8080 }];
		hostPorts.pods.upsert('a/web', pod('web', 2, ports));
		expect(frontends()).toHaveLength(2);
		expect(frontends()[0]).toContain('10.244.1.2:8080');
		hostPorts.pods.upsert('a/web', { ...pod('web', 2, ports), status: { phase: 'Succeeded' } });
		expect(frontends()).toEqual([]);
		hostPorts.pods.upsert('a/web', pod('web', 2, ports));
		expect(frontends()).toHaveLength(2);
		hostPorts.pods.remove('a/web');
		expect(frontends()).toEqual([]);
		expect(store.services.size).toBe(0);
	},
);

test('changes of a pod that change no host port are not passed on', () => {
	const { hostPorts, store } = rig();
	const web = pod('web', 2, [{ hostPort: 80, containerPort: 8080 }]);
	hostPorts.pods.upsert('a/web', web);
	store.take();
	hostPorts.pods.upsert('a/web', { ...web, status: { ...web.status, message: 'x' } });
	hostPorts.pods.upsert('a/plain', pod('plain', 3, [{ containerPort: 1 }]));
	hostPorts.setNodeAddresses(NODE);
	expect(store.dirty).toBe(false);
	hostPorts.setNodeAddresses([NODE[0]!]);
	expect(store.dirty).toBe(true);
});

test('a pod in the network of the node has its ports there itself; loopback is told of', () => {
	const { hostPorts, frontends, store } = rig();
	const port = { hostPort: 80, containerPort: 80 };
	hostPorts.pods.upsert('a/host', pod('host', 2, [port], { hostNetwork: true }));
	hostPorts.pods.upsert('a/local', pod('local', 3, [{ ...port, hostIP: '127.0.0.1' }]));
	expect(frontends()).toEqual([]);
	expect(store.problems()).toMatchObject([
		{ object: 'Service a/local:hostport:127.0.0.1', field: 'spec.hostIPs[0]' },
	]);
});

test('Services are complete when the pods of the node are', () => {
	const { hostPorts, listed } = rig();
	hostPorts.services.listed();
	expect(listed()).toBe(0);
	hostPorts.pods.listed();
	expect(listed()).toBe(1);
	hostPorts.services.listed();
	expect(listed()).toBe(2);
});
