import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Node, Pod } from '../../standalone/port.ts';
import { createTestCluster, type TestCluster } from './controller-cluster.ts';

let cluster: TestCluster;

beforeEach(() => {
	cluster = createTestCluster();
});

afterEach(() => cluster.stop());

const pod = (name: string, spec: Partial<Pod['spec']> = {}): Pod => ({
	metadata: { name, namespace: 'default', labels: { app: name } },
	spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
});
const hostPort = (port: number, protocol = 'TCP', hostIP = '') => ({
	containers: [
		{
			name: 'c',
			image: 'i',
			ports: [{ containerPort: 80, hostPort: port, protocol, ...(hostIP ? { hostIP } : {}) }],
		},
	],
});
const nodeOf = (name: string) => cluster.api.get('pods', 'default', name)!.spec.nodeName;
const scheduled = (name: string) =>
	cluster.api.get('pods', 'default', name)!.status!.conditions?.find(({ type }) => type === 'PodScheduled');
const changeNode = (name: string, change: (node: Node) => unknown) => {
	const node = structuredClone(cluster.api.get('nodes', undefined, name)!);
	change(node);
	cluster.api.update('nodes', node);
	cluster.api.update(
		'nodes',
		{ ...cluster.api.get('nodes', undefined, name)!, status: node.status! },
		'status',
	);
};

describe('scheduler', () => {
	it('gives each pod the node with the fewest pods, by name among equals', async () => {
		for (const name of ['node2', 'node1', 'node3']) cluster.addNode(name);
		for (const name of ['a', 'b', 'c', 'd']) cluster.api.create('pods', pod(name));
		await cluster.settle();
		expect(['a', 'b', 'c', 'd'].map(nodeOf)).toEqual(['node1', 'node2', 'node3', 'node1']);
		expect(scheduled('a')).toMatchObject({ status: 'True' });
	});

	it('leaves alone pods that name their node or another scheduler', async () => {
		cluster.addNode('node1');
		cluster.api.create('pods', pod('a', { nodeName: 'node9' }));
		cluster.api.create('pods', pod('b', { schedulerName: 'mine' }));
		await cluster.settle();
		expect([nodeOf('a'), nodeOf('b')]).toEqual(['node9', undefined]);
	});

	it.each<[string, (node: Node) => unknown]>([
		['cordoned', (node) => Object.assign(node.spec, { unschedulable: true })],
		[
			'not ready',
			(node) => Object.assign(node.status!, { conditions: [{ type: 'Ready', status: 'False' }] }),
		],
		['tainted', (node) => Object.assign(node.spec, { taints: [{ key: 'k', effect: 'NoSchedule' }] })],
	])('does not use a node that is %s, says why, and uses it as soon as it can', async (_what, spoil) => {
		cluster.addNode('node1');
		changeNode('node1', spoil);
		cluster.api.create('pods', pod('a'));
		await cluster.settle();
		expect(nodeOf('a')).toBeUndefined();
		expect(scheduled('a')).toMatchObject({ status: 'False', reason: 'Unschedulable' });
		expect(scheduled('a')!.message).toMatch(/^0\/1 nodes are available: 1 node\(s\) /);
		changeNode('node1', (node) => {
			node.spec = {};
			node.status!.conditions = [{ type: 'Ready', status: 'True' }];
		});
		await cluster.settle();
		expect(nodeOf('a')).toBe('node1');
	});

	it('heeds nodeSelector, required node affinity and tolerations', async () => {
		cluster.addNode('node1');
		cluster.addNode('node2', 'zone-b');
		const taints = [{ key: 'k', value: 'v', effect: 'NoSchedule' }];
		changeNode('node2', (node) => Object.assign(node.spec, { taints }));
		const tolerations = [{ key: 'k', operator: 'Equal', value: 'v', effect: 'NoSchedule' }];
		const key = 'topology.kubernetes.io/zone';
		const nodeSelectorTerms = [{ matchExpressions: [{ key, operator: 'In', values: ['zone-b'] }] }];
		const affinity = {
			nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
		};
		cluster.api.create('pods', pod('a', { nodeSelector: { [key]: 'zone-b' }, tolerations }));
		cluster.api.create('pods', pod('b', { affinity, tolerations }));
		cluster.api.create('pods', pod('c', { nodeSelector: { [key]: 'zone-b' } }));
		await cluster.settle();
		expect(['a', 'b', 'c'].map(nodeOf)).toEqual(['node2', 'node2', undefined]);
	});

	it.each([
		['the same port', hostPort(80), hostPort(80), false],
		['another protocol', hostPort(80), hostPort(80, 'UDP'), true],
		['other addresses', hostPort(80, 'TCP', '10.0.0.1'), hostPort(80, 'TCP', '10.0.0.2'), true],
		['one on all addresses', hostPort(80, 'TCP', '10.0.0.1'), hostPort(80), false],
	])('two pods with hostPorts: %s (R-A9)', async (_what, first, second, both) => {
		cluster.addNode('node1');
		cluster.api.create('pods', pod('a', first));
		cluster.api.create('pods', pod('b', second));
		await cluster.settle();
		expect([nodeOf('a'), nodeOf('b')]).toEqual(['node1', both ? 'node1' : undefined]);
		cluster.api.delete('pods', 'default', 'a', 0);
		await cluster.settle();
		expect(nodeOf('b')).toBe('node1');
	});

	it('deletes the pods of a node that is deleted', async () => {
		cluster.addNode('node1');
		cluster.api.create('pods', pod('a'));
		await cluster.settle();
		cluster.api.delete('nodes', undefined, 'node1');
		await cluster.settle();
		expect(cluster.api.list('pods')).toEqual([]);
	});
});
