import { afterAll, afterEach, beforeAll, describe, it } from 'vitest';
import type { NodeInfo } from './support/cluster.ts';
import { Environment, type From } from './support/environment.ts';
import { DUAL_STACK, pod, service } from './support/objects.ts';
import { TCP_AND_UDP } from './support/service-view.ts';

const ZONE = 'topology.kubernetes.io/zone';

let env: Environment;
let pods: From[];

beforeAll(async () => {
	env = await Environment.shared('topology');
	pods = await env.clients();
	const labels = { app: 'servers' };
	const servers = env.nodes.map(({ name }, i) => pod(`s${i + 1}`, { node: name, labels }));
	await env.apply(...servers);
	await env.podsReady('servers', 3);
});

afterEach(async () => {
	for (const node of env.nodes) await label(node, node.zone);
});

afterAll(async () => env?.[Symbol.asyncDispose]());

async function label(node: NodeInfo, zone: string | undefined): Promise<void> {
	await env.kubectl(
		'label',
		'node',
		node.name,
		zone === undefined ? `${ZONE}-` : `${ZONE}=${zone}`,
		'--overwrite',
	);
}

async function zones(...names: string[]): Promise<void> {
	for (const [i, zone] of names.entries()) await label(env.nodes[i]!, zone);
}

/**
 * Selects all servers except number `omit` (from 1). The clients of each node must reach exactly
 * its `wanted` servers.
 */
async function expectServers(
	name: string,
	trafficDistribution: string,
	omit: number | undefined,
	wanted: readonly string[][],
): Promise<void> {
	for (const i of env.nodes.keys()) {
		const change = i + 1 === omit ? 'in-' : `in=${name}`;
		await env.kubectl('label', 'pod', `s${i + 1}`, change, '--overwrite');
	}
	const spec = { type: 'NodePort', selector: { in: name }, trafficDistribution, ...DUAL_STACK };
	await env.apply(service(name, spec));
	const view = await env.service(name);
	for (const udp of TCP_AND_UDP)
		for (const [i, servers] of wanted.entries()) {
			const node = env.nodes[i]!;
			await env.allReach([pods[i]!, { node: node.name }], view.clusterIPs(udp), servers);
			await env.allReach(['outside', pods[i]!], view.nodePorts(node, udp), servers);
		}
}

describe('trafficDistribution, in pods, nodes and from outside, TCP and UDP, both families', () => {
	it.each(['PreferClose', 'PreferSameZone'])(
		'%s: a client uses the server of its zone, or all where its zone has none (A-121)',
		async (mode) => {
			await zones('z1', 'z2', 'z3');
			await expectServers(`three-${mode.toLowerCase()}`, mode, 3, [['s1'], ['s2'], ['s1', 's2']]);
		},
	);

	it('PreferSameZone: two nodes of a zone share their servers (A-122)', async () => {
		await zones('z1', 'z1', 'z2');
		await expectServers('shared', 'PreferSameZone', undefined, [['s1', 's2'], ['s1', 's2'], ['s3']]);
	});

	it('PreferSameNode: a client uses the server of its node, though its zone has more (A-124)', async () => {
		await zones('z1', 'z1', 'z2');
		await expectServers('near', 'PreferSameNode', undefined, [['s1'], ['s2'], ['s3']]);
	});

	it('PreferSameNode: where the node has no server, its zone’s are used, else all', async () => {
		await zones('z2', 'z1', 'z1');
		await expectServers('nearest', 'PreferSameNode', 3, [['s1'], ['s2'], ['s2']]);
		await zones('z2', 'z1', 'z3');
		await expectServers('nearest', 'PreferSameNode', 3, [['s1'], ['s2'], ['s1', 's2']]);
	});

	it('topology-mode Auto: zones get servers by their share of the nodes, and use these (A-127)', async () => {
		await zones('z1', 'z1', 'z2');
		const auto = service('auto', { selector: { app: 'servers' }, ...DUAL_STACK });
		const annotations = { 'service.kubernetes.io/topology-mode': 'Auto' };
		await env.apply({ ...auto, metadata: { ...auto.metadata, annotations } });
		const view = await env.service('auto');
		for (const udp of TCP_AND_UDP) {
			await env.allReach(pods.slice(0, 2), view.clusterIPs(udp), ['s1', 's2']);
			await env.allReach(pods.slice(2), view.clusterIPs(udp), ['s3']);
		}
		await env.kubectl('annotate', 'service', 'auto', 'service.kubernetes.io/topology-mode-');
		await env.allReach(pods, view.clusterIPs(), ['s1', 's2', 's3']);
	});

	it('taken away, all servers are used again', async () => {
		await zones('z1', 'z1', 'z2');
		await expectServers('released', 'PreferClose', undefined, [['s1', 's2'], ['s1', 's2'], ['s3']]);
		await env.patch('service', 'released', { spec: { trafficDistribution: null } });
		const { clusterIPs } = await env.service('released');
		await env.allReach(pods, clusterIPs(), ['s1', 's2', 's3']);
	});
});
