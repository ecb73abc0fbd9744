import { expect, test } from 'vitest';
import { HostPorts } from '../../agent/features/host-ports.ts';
import { Store } from '../../agent/loop/store.ts';
import { translate } from '../../agent/model/translate.ts';
import type { EndpointsKind } from '../../agent/model/types.ts';

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

/** A store behind the sinks, with its frontends. */
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
	const frontends = (from: 'external' | 'internal' = 'external') => {
		store.take();
		return [...store.services.values()]
			.flatMap((service) => translate(service, store.sources(service.key), store.node).frontends)
			.filter(({ scope }) => scope === from)
			.map(({ claim, backends, loopback }) => {
				return `${claim} -> ${backends.map(({ key }) => key)}${loopback ? ' loopback' : ''}`;
			})
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

test('a pod in the network of the node has its ports there itself', () => {
	const { hostPorts, frontends } = rig();
	const port = { hostPort: 80, containerPort: 80 };
	hostPorts.pods.upsert('a/host', pod('host', 2, [port], { hostNetwork: true }));
	expect(frontends()).toEqual([]);
});

test.each([
	['127.0.0.1', ['127.0.0.1:80/tcp -> 10.244.1.3:80/tcp loopback']],
	['127.0.0.5', ['127.0.0.5:80/tcp -> 10.244.1.3:80/tcp loopback']],
	['::1', ['[::1]:80/tcp -> [fd00:244:1::3]:80/tcp loopback']],
	['192.168.10.11', ['192.168.10.11:80/tcp -> 10.244.1.3:80/tcp']],
	...(['', '0.0.0.0', '::'].map((ip) => [
		ip,
		[
			'127.0.0.1:80/tcp -> 10.244.1.3:80/tcp loopback',
			'192.168.10.11:80/tcp -> 10.244.1.3:80/tcp',
			'[::1]:80/tcp -> [fd00:244:1::3]:80/tcp loopback',
			'[fd00:10::11]:80/tcp -> [fd00:244:1::3]:80/tcp',
		],
	]) as [string, string[]][]),
])('processes of the node reach a host port of hostIP %j there (R-A9)', (hostIP, expected) => {
	const { hostPorts, frontends, store } = rig();
	hostPorts.pods.upsert('a/local', pod('local', 3, [{ hostPort: 80, containerPort: 80, hostIP }]));
	expect(frontends('internal')).toEqual(expected);
	// packets to loopback enter through no device
	expect(frontends().filter((one) => one.includes('loopback'))).toEqual([]);
	expect(store.problems()).toEqual([]);
});

test('a hostIP that is none of a node is told of', () => {
	const { hostPorts, frontends, store } = rig();
	hostPorts.pods.upsert('a/x', pod('x', 3, [{ hostPort: 80, containerPort: 80, hostIP: '224.0.0.1' }]));
	expect(frontends('internal')).toEqual([]);
	expect(store.problems()).toMatchObject([
		{ object: 'Service a/x:hostport:224.0.0.1', field: 'spec.hostIPs[0]' },
	]);
});

test('a family in which the pod has no address is left to others', () => {
	const { hostPorts, frontends } = rig();
	const four = pod('four', 2, [{ hostPort: 80, containerPort: 80 }]);
	hostPorts.pods.upsert('a/four', { ...four, status: { phase: 'Running', podIPs: [{ ip: '10.244.1.2' }] } });
	expect(frontends('internal').map((one) => one.split(' ')[0])).toEqual([
		'127.0.0.1:80/tcp',
		'192.168.10.11:80/tcp',
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

test('Services do not wait for pods that the agent may not list; it says so until it may (C9)', () => {
	const { hostPorts, listed, frontends } = rig();
	hostPorts.services.listed();
	hostPorts.pods.forbidden?.('List of pods: 403 Forbidden');
	expect(listed()).toBe(1);
	expect(hostPorts.degradation).toMatch(/^Host ports are not served: List of pods: 403 Forbidden; allow/);
	hostPorts.pods.forbidden?.('List of pods: 403 Forbidden');
	expect(listed()).toBe(1);
	hostPorts.pods.upsert('a/web', pod('web', 2, [{ hostPort: 80, containerPort: 8080 }]));
	hostPorts.pods.listed();
	expect(hostPorts.degradation).toBeUndefined();
	expect(frontends()).toHaveLength(2);
});

test.each([
	['10.244.1.3', ['127.0.0.1', '192.168.10.11', ''], ['::1', 'fd00:10::11']],
	['fd00:244:1::3', ['::1', 'fd00:10::11', ''], ['127.0.0.1', '192.168.10.11']],
])('a pod with %s alone leaves hostIPs of the other family to the node', (podIp, own, other) => {
	for (const hostIP of [...own, ...other]) {
		const { hostPorts, frontends, store } = rig();
		const { metadata, spec } = pod('one', 3, [{ hostPort: 80, containerPort: 80, hostIP }]);
		hostPorts.pods.upsert('a/one', { metadata, spec, status: { podIPs: [{ ip: podIp }] } });
		const all = [...frontends('internal'), ...frontends()];
		expect(all.length > 0, hostIP).toBe(own.includes(hostIP));
		expect(all.filter((one) => one.endsWith('-> '))).toEqual([]);
		expect(store.problems()).toEqual([]);
	}
});
