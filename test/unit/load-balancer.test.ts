import { afterEach, describe, expect, it } from 'vitest';
import type { Announcer, NodeHealth } from '../../standalone/lb/placement.ts';
import { AddressPool } from '../../standalone/lb/pool.ts';
import type { Service } from '../../standalone/port.ts';
import { createTestCluster, deployment, service, type TestCluster } from './controller-cluster.ts';

const POOL = '192.168.10.200-192.168.10.202,fd00:10::200-fd00:10::20f';
const CONDITION = 'maglane.io/LoadBalancerAllocated';

/** Fake nodes that record announcements and have a configurable health. */
class FakeNodes implements Announcer, NodeHealth {
	placed: ReadonlyMap<string, string> = new Map();
	readonly ill = new Set<string>();
	readonly moves: string[] = [];
	#changed = () => {};

	async apply(placement: ReadonlyMap<string, string>, placed: (address: string, node: string) => void) {
		const before = this.placed;
		this.placed = placement;
		for (const [address, node] of placement)
			if (before.get(address) !== node) {
				this.moves.push(`${address} ${node}`);
				placed(address, node);
			}
	}

	healthy = (node: string) => !this.ill.has(node);
	watch() {}
	subscribe(changed: () => void) {
		this.#changed = changed;
	}

	fall(node: string): void {
		this.ill.add(node);
		this.#changed();
	}
}

let cluster: TestCluster;
let nodes: FakeNodes;

function start(pool = POOL): void {
	nodes = new FakeNodes();
	cluster = createTestCluster({
		pool: new AddressPool(pool),
		announcing: { announcer: nodes, health: nodes },
	});
	for (const name of ['node1', 'node2', 'node3']) cluster.addNode(name);
}

afterEach(() => cluster.stop());

const balancer = (
	name: string,
	spec: Partial<Service['spec']> = {},
	annotations?: Record<string, string>,
) => {
	const object = service(name, { type: 'LoadBalancer', ...spec });
	if (annotations) object.metadata.annotations = annotations;
	return cluster.api.create('services', object);
};
const get = (name: string): Service => cluster.api.get('services', 'default', name)!;
const ingress = (name: string) => get(name).status!.loadBalancer!.ingress ?? [];
const ips = (name: string) => ingress(name).map(({ ip }) => ip);
const condition = (name: string) => get(name).status!.conditions?.find(({ type }) => type === CONDITION);
const warnings = () =>
	cluster.api.list('events', 'default').flatMap(({ type, message }) => (type === 'Warning' ? [message] : []));
const edit = (name: string, spec: Partial<Service['spec']>) =>
	cluster.api.update('services', { ...get(name), spec: { ...get(name).spec, ...spec } });

describe('LoadBalancer addresses', () => {
	it.each([
		[{}, ['192.168.10.200']],
		[{ ipFamilies: ['IPv6'] }, ['fd00:10::200']],
		[{ ipFamilyPolicy: 'RequireDualStack' }, ['192.168.10.200', 'fd00:10::200']],
		[{ ipFamilyPolicy: 'PreferDualStack', ipFamilies: ['IPv6', 'IPv4'] }, ['fd00:10::200', '192.168.10.200']],
	])('are of the Service’s families, in their order: %j', async (spec, expected) => {
		start();
		balancer('web', spec);
		await cluster.settle();
		expect(ingress('web')).toEqual(expected.map((ip) => ({ ip, ipMode: 'VIP' })));
		expect(condition('web')).toMatchObject({ status: 'True', reason: 'IPAllocated' });
	});

	it('are never those of another Service, and come back with a deletion or another type', async () => {
		start();
		for (const name of ['a', 'b', 'c']) balancer(name);
		await cluster.settle();
		expect(['a', 'b', 'c'].flatMap(ips)).toEqual(['192.168.10.200', '192.168.10.201', '192.168.10.202']);
		balancer('d');
		await cluster.settle();
		expect(ips('d')).toEqual([]);
		const message = `All IPv4 addresses of ${POOL} are in use`;
		expect(condition('d')).toMatchObject({ status: 'False', reason: 'AllocationFailed', message });
		expect(warnings()).toEqual([message]);
		edit('b', { type: 'ClusterIP' });
		await cluster.settle();
		expect([ips('b'), ips('d')]).toEqual([[], ['192.168.10.201']]);
		expect(condition('d')).toMatchObject({ status: 'True' });
		balancer('e');
		cluster.api.delete('services', 'default', 'a');
		await cluster.settle();
		expect(ips('e')).toEqual(['192.168.10.200']);
	});

	it.each([
		['spec.loadBalancerIP', { loadBalancerIP: '192.168.10.202' }, {}],
		['the annotation', {}, { 'maglane.io/loadBalancerIPs': '192.168.10.202' }],
		['MetalLB’s annotation', {}, { 'metallb.universe.tf/loadBalancerIPs': '192.168.10.202' }],
	])('are those that %s wants', async (_how, spec, annotations) => {
		start();
		balancer('web', spec, annotations);
		await cluster.settle();
		expect(ips('web')).toEqual(['192.168.10.202']);
	});

	it('follow a changed wish, one a family', async () => {
		start();
		balancer('web', { ipFamilyPolicy: 'RequireDualStack' });
		await cluster.settle();
		const annotations = { 'maglane.io/loadBalancerIPs': 'fd00:10::20a, 192.168.10.201' };
		const stored = get('web');
		cluster.api.update('services', { ...stored, metadata: { ...stored.metadata, annotations } });
		await cluster.settle();
		expect(ips('web')).toEqual(['192.168.10.201', 'fd00:10::20a']);
	});

	it.each([
		['192.168.10.9', `The wanted address 192.168.10.9 is not in the pool ${POOL}`],
		['192.168.10.200', 'The wanted address 192.168.10.200 is in use by Service default/first'],
		['fd00:10::200', "The wanted address fd00:10::200 is not of the Service's families, IPv4"],
		['web.example', 'The wanted address "web.example" is no IP address'],
	])('are refused with the reason: %s', async (wanted, message) => {
		start();
		balancer('first');
		await cluster.settle();
		balancer('web', {}, { 'maglane.io/loadBalancerIPs': wanted });
		await cluster.settle();
		expect(ips('web')).toEqual([]);
		expect(condition('web')).toMatchObject({ status: 'False', message });
		expect(warnings()).toEqual([message]);
	});

	it('leave out a family that the pool does not have, unless it is required', async () => {
		start('192.168.10.200-192.168.10.202');
		balancer('prefers', { ipFamilyPolicy: 'PreferDualStack' });
		balancer('requires', { ipFamilyPolicy: 'RequireDualStack' });
		balancer('only', { ipFamilies: ['IPv6'] });
		await cluster.settle();
		expect(ips('prefers')).toEqual(['192.168.10.200']);
		expect([ips('requires'), ips('only')]).toEqual([[], []]);
		expect(condition('only')!.message).toBe(
			'The pool 192.168.10.200-192.168.10.202 has no IPv6 addresses; give some with --lb-pool',
		);
	});

	it('follow the families of the Service', async () => {
		start();
		balancer('web');
		await cluster.settle();
		edit('web', { ipFamilyPolicy: 'RequireDualStack' });
		await cluster.settle();
		expect(ips('web')).toEqual(['192.168.10.200', 'fd00:10::200']);
		edit('web', { ipFamilyPolicy: 'SingleStack' });
		await cluster.settle();
		expect(ips('web')).toEqual(['192.168.10.200']);
	});

	it('are not given to a Service of another class, nor where somebody else gave one', async () => {
		start();
		balancer('foreign', { loadBalancerClass: 'example.com/other' });
		balancer('ours', { loadBalancerClass: 'maglane.io/standalone' });
		balancer('given');
		const status = { loadBalancer: { ingress: [{ ip: '203.0.113.7' }] } };
		cluster.api.update('services', { ...get('given'), status }, 'status');
		await cluster.settle();
		expect(get('foreign').status).toEqual({ loadBalancer: {} });
		expect(ips('ours')).toEqual(['192.168.10.200']);
		expect(get('given').status).toEqual(status);
	});

	it('of two Services with one address the older keeps it', async () => {
		start();
		balancer('a');
		await cluster.settle();
		cluster.clock.advance(5000);
		balancer('b');
		await cluster.settle();
		cluster.api.update('services', { ...get('b'), status: get('a').status! }, 'status');
		await cluster.settle();
		expect([ips('a'), ips('b')]).toEqual([['192.168.10.200'], ['192.168.10.201']]);
	});

	it('cost no write when nothing changed', async () => {
		start();
		balancer('web');
		await cluster.settle();
		const before = cluster.writes();
		edit('web', {});
		await cluster.settle();
		expect(cluster.writes()).toBe(before);
	});
});

describe('the node that answers for an address', () => {
	const holder = (address = '192.168.10.200') => nodes.placed.get(address);

	it('is one for each, is told of, and another when it is ill, not ready, taken out or deleted', async () => {
		start();
		balancer('web', { ipFamilyPolicy: 'RequireDualStack' });
		await cluster.settle();
		expect([...nodes.placed.keys()]).toEqual(['192.168.10.200', 'fd00:10::200']);
		const first = holder()!;
		const said = cluster.api.list('events', 'default').map(({ message }) => message);
		expect(said).toContain(`announcing 192.168.10.200 from node "${first}" with ARP`);
		nodes.fall(first);
		await cluster.settle();
		const second = holder()!;
		expect(second).not.toBe(first);
		const node = cluster.api.get('nodes', undefined, second)!;
		const labels = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' };
		cluster.api.update('nodes', { ...node, metadata: { ...node.metadata, labels } });
		await cluster.settle();
		const third = holder()!;
		expect([first, second]).not.toContain(third);
		cluster.api.delete('nodes', undefined, third);
		await cluster.settle();
		// No other node is left, and an ill agent is better than none
		expect(holder()).toBe(first);
		const status = { conditions: [{ type: 'Ready', status: 'Unknown' }] };
		cluster.api.update('nodes', { ...cluster.api.get('nodes', undefined, first)!, status }, 'status');
		await cluster.settle();
		expect(holder()).toBeUndefined();
	});

	it('has a usable endpoint with externalTrafficPolicy Local, one that ends when there is no other', async () => {
		start();
		cluster.api.create('deployments', deployment('web', 1));
		balancer('web', { externalTrafficPolicy: 'Local' });
		await cluster.settle();
		expect(holder()).toBeUndefined();
		await cluster.converge();
		const [pod] = cluster.api.list('pods', 'default');
		expect(holder()).toBe(pod!.spec.nodeName);
		cluster.setReady(pod!, false);
		await cluster.settle();
		expect(holder()).toBeUndefined();
		cluster.setReady(pod!, true);
		cluster.api.delete('deployments', 'default', 'web');
		await cluster.settle();
		expect(cluster.api.list('pods', 'default')[0]!.metadata.deletionTimestamp).toBeDefined();
		expect(holder()).toBe(pod!.spec.nodeName);
		await cluster.converge();
		expect(holder()).toBeUndefined();
	});

	it('does not answer for a Service that another proxy serves, nor after a deletion', async () => {
		start();
		balancer('web');
		await cluster.settle();
		expect(holder()).toBeDefined();
		const labels = { 'service.kubernetes.io/service-proxy-name': 'other' };
		cluster.api.update('services', { ...get('web'), metadata: { ...get('web').metadata, labels } });
		await cluster.settle();
		expect(holder()).toBeUndefined();
		balancer('two');
		await cluster.settle();
		expect(holder('192.168.10.201')).toBeDefined();
		cluster.api.delete('services', 'default', 'two');
		await cluster.settle();
		expect(nodes.placed.size).toBe(0);
	});
});
