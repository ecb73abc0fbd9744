import { execFile, execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { nodeAddresses, podAddresses } from '../../standalone/net/addresses.ts';
import { createPodNetwork, destroyPodNetwork, type PodNetwork } from '../../standalone/net/pod-network.ts';
import { createTopology } from '../../standalone/net/topology.ts';

const prefix = 'mlnnet';
const switcher = new NetnsSwitcher();
const execute = promisify(execFile);
let rootBefore = '';

const inNs = async (netns: string, ...command: string[]) =>
	(await execute('nsenter', [`--net=/run/netns/${netns}`, ...command])).stdout;

const pod = (node: number, index: number): PodNetwork => ({
	netns: `${prefix}-default-pod${node}x${index}`,
	nodeNetns: `${prefix}-node${node}`,
	node,
	link: `veth${node}x${index}`,
	addresses: podAddresses(node, index),
});

const rootState = () =>
	['link', 'addr', 'route', 'rule']
		.map((what) => execFileSync('ip', ['-o', what], { encoding: 'utf8' }))
		.join('\n')
		.replace(/\d+sec/g, 'sec') +
	execFileSync('sysctl', ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']);

const cleanUp = () => {
	for (const name of namesOf(prefix)) switcher.remove(name);
};
const namesOf = (start: string) => readdirSync('/run/netns').filter((name) => name.startsWith(`${start}-`));

beforeAll(async () => {
	rootBefore = rootState();
	await createTopology(switcher, { prefix, nodes: 2 });
	await createPodNetwork(switcher, pod(1, 2));
	await createPodNetwork(switcher, pod(1, 3));
	await createPodNetwork(switcher, pod(2, 2));
});
afterAll(cleanUp);

test.each([
	['pod to pod on one node', `${prefix}-default-pod1x2`, podAddresses(1, 3)],
	['pod to pod on the other node', `${prefix}-default-pod1x2`, podAddresses(2, 2)],
	['pod to its node', `${prefix}-default-pod1x2`, nodeAddresses(1)],
	['pod to the other node', `${prefix}-default-pod1x2`, nodeAddresses(2)],
	['node to a pod of the other node', `${prefix}-node1`, podAddresses(2, 2)],
	['client to a node', `${prefix}-client`, nodeAddresses(2)],
	['node to itself', `${prefix}-node1`, nodeAddresses(1)],
])('createTopology() lets %s speak in both families', async (_what, from, to) => {
	for (const address of [to.v4, to.v6]) {
		const said = await inNs(from, 'ping', '-c1', '-W2', '-s', '1400', address);
		expect(said).toContain('1 received');
	}
});

test('createTopology() lets the node speak to its pods from its own address', async () => {
	const route = await inNs(`${prefix}-node1`, 'ip', 'route', 'get', podAddresses(1, 2).v4);
	expect(route).toContain(`src ${nodeAddresses(1).v4}`);
	const route6 = await inNs(`${prefix}-node1`, 'ip', '-6', 'route', 'get', podAddresses(1, 2).v6);
	expect(route6).toContain(`src ${nodeAddresses(1).v6}`);
});

test('createTopology() gives the node whole packets with finished checksums, and XDP_TX a receiver', async () => {
	const features = await inNs(`${prefix}-client`, 'ethtool', '-k', 'node1');
	expect(features).toMatch(/^tx-checksumming: off/m);
	expect(features).toMatch(/^tcp-segmentation-offload: off/m);
	expect(features).toMatch(/^generic-segmentation-offload: off/m);
	expect(features).toMatch(/^generic-receive-offload: on/m);
});

test('createTopology() leaves the root namespace as it is', () => {
	expect(rootState()).toBe(rootBefore);
});

test('createPodNetwork() takes under 100 ms, and destroyPodNetwork() leaves no link', async () => {
	const took: number[] = [];
	const pods = Array.from({ length: 10 }, (_, i) => pod(2, 120 + i));
	for (const one of pods) {
		const start = performance.now();
		await createPodNetwork(switcher, one);
		took.push(performance.now() - start);
	}
	took.sort((a, b) => a - b);
	expect(took[5]).toBeLessThan(100);
	for (const one of pods) await destroyPodNetwork(switcher, one);
	const links = await inNs(`${prefix}-node2`, 'ip', '-o', 'link');
	expect(links).not.toContain('veth2x1');
	expect(namesOf(prefix).sort()).toEqual(
		['client', 'default-pod1x2', 'default-pod1x3', 'default-pod2x2', 'node1', 'node2'].map(
			(n) => `${prefix}-${n}`,
		),
	);
});

test('NetnsSwitcher.create() refuses a name that is taken and stays in its namespace', () => {
	expect(() => switcher.create(`${prefix}-node1`)).toThrow(/EEXIST/);
	expect(() => switcher.within(`${prefix}-absent`, () => 0)).toThrow(/ENOENT/);
	expect(() => switcher.within(`${prefix}-node1`, async () => 0)).toThrow(/synchronous/);
	expect(() =>
		switcher.within(`${prefix}-node1`, () => {
			throw new Error('from inside');
		}),
	).toThrow('from inside');
	expect(rootState()).toBe(rootBefore);
});
