import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Pod } from '../../standalone/port.ts';
import { createTestCluster, deployment, type TestCluster } from './controller-cluster.ts';

let cluster: TestCluster;

beforeEach(() => {
	cluster = createTestCluster();
	cluster.addNode('node1', 'zone-a');
	cluster.addNode('node2', 'zone-b');
});

afterEach(() => cluster.stop());

const pods = () => cluster.api.list('pods', 'default');
const places = () =>
	pods()
		.map((pod) => pod.spec.nodeName)
		.sort();
const get = () => cluster.api.get('daemonsets', 'default', 'agent')!;

function create(podSpec: Partial<Pod['spec']> = {}): void {
	const { replicas: _none, ...spec } = deployment('agent', 0).spec;
	Object.assign(spec.template.spec!, podSpec);
	cluster.api.create('daemonsets', { metadata: { name: 'agent', namespace: 'default' }, spec });
}

describe('DaemonSet', () => {
	it('has a pod on every node, also on one that comes later, and reports it', async () => {
		create();
		await cluster.converge();
		expect(places()).toEqual(['node1', 'node2']);
		cluster.addNode('node3');
		await cluster.converge();
		expect(places()).toEqual(['node1', 'node2', 'node3']);
		expect(get().status).toMatchObject({
			desiredNumberScheduled: 3,
			currentNumberScheduled: 3,
			updatedNumberScheduled: 3,
			numberReady: 3,
			numberAvailable: 3,
			numberUnavailable: 0,
			numberMisscheduled: 0,
			observedGeneration: 1,
		});
	});

	it('leaves out nodes that it does not select or tolerate, and leaves one that changes', async () => {
		cluster.addNode('node3', 'zone-a');
		create({ nodeSelector: { 'topology.kubernetes.io/zone': 'zone-a' } });
		await cluster.converge();
		expect(places()).toEqual(['node1', 'node3']);
		const node = cluster.api.get('nodes', undefined, 'node3')!;
		const spec = { ...node.spec, taints: [{ key: 'k', effect: 'NoSchedule' }] };
		cluster.api.update('nodes', { ...node, spec });
		await cluster.converge();
		expect(places()).toEqual(['node1']);
	});

	it('runs on a cordoned node', async () => {
		const node = cluster.api.get('nodes', undefined, 'node1')!;
		cluster.api.update('nodes', { ...node, spec: { ...node.spec, unschedulable: true } });
		create();
		await cluster.converge();
		expect(places()).toEqual(['node1', 'node2']);
	});

	it('replaces a deleted pod, and pods of an old template one node at a time', async () => {
		create();
		await cluster.converge();
		cluster.api.delete('pods', 'default', pods()[0]!.metadata.name);
		await cluster.converge();
		expect(places()).toEqual(['node1', 'node2']);
		const set = structuredClone(get());
		set.spec.template.spec!.containers[0]!.image = 'agnhost:2';
		cluster.api.update('daemonsets', set);
		await cluster.settle();
		expect(pods().filter((pod) => pod.metadata.deletionTimestamp)).toHaveLength(1);
		await cluster.converge();
		expect(pods().map((pod) => pod.spec.containers[0]!.image)).toEqual(['agnhost:2', 'agnhost:2']);
		expect(places()).toEqual(['node1', 'node2']);
	});

	it('writes nothing when nothing changed', async () => {
		create();
		await cluster.converge();
		const before = cluster.writes();
		cluster.clock.advance(3_600_000);
		cluster.api.update('daemonsets', get());
		await cluster.converge();
		expect(cluster.writes()).toBe(before);
	});

	it('brings the new pod before the old one goes with maxSurge', async () => {
		create();
		await cluster.converge();
		const stored = structuredClone(get());
		stored.spec.updateStrategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
		stored.spec.template.spec!.containers[0]!.image = 'agnhost:2';
		cluster.api.update('daemonsets', stored);
		const ready = () =>
			pods().filter(
				({ metadata, status }) =>
					!metadata.deletionTimestamp && status!.conditions?.some((one) => one.type === 'Ready'),
			);
		for (let round = 0; round < 20; round++) {
			await cluster.settle();
			expect(new Set(ready().map(({ spec }) => spec.nodeName)).size).toBe(2);
			expect(pods().length).toBeLessThanOrEqual(4);
			if (cluster.kubelet() === 0) break;
		}
		expect(pods().map(({ spec }) => spec.containers[0]!.image)).toEqual(['agnhost:2', 'agnhost:2']);
		expect(get().status).toMatchObject({ updatedNumberScheduled: 2, numberAvailable: 2 });
	});

	it('keeps its templates as revisions', async () => {
		create();
		await cluster.converge();
		const stored = structuredClone(get());
		stored.spec.template.spec!.containers[0]!.image = 'agnhost:2';
		cluster.api.update('daemonsets', stored);
		await cluster.converge();
		const revisions = cluster.api.list('controllerrevisions', 'default');
		expect(revisions.map(({ revision }) => revision).sort()).toEqual([1, 2]);
		const newest = revisions.find(({ revision }) => revision === 2)!;
		const hash = newest.metadata.labels!['controller-revision-hash'];
		expect(newest.metadata.name).toBe(`agent-${hash}`);
		for (const pod of pods()) expect(pod.metadata.labels!['controller-revision-hash']).toBe(hash);
	});
});
