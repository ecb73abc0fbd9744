import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Pod, PodTemplate, StatefulSet } from '../../standalone/port.ts';
import { createTestCluster, deployment, type TestCluster } from './controller-cluster.ts';

let cluster: TestCluster;

beforeEach(() => {
	cluster = createTestCluster();
	cluster.addNode('node1');
	cluster.addNode('node2');
});

afterEach(() => cluster.stop());

const pods = () => cluster.api.list('pods', 'default');
const image = (pod: Pod) => pod.spec.containers[0]!.image;

describe('StatefulSet', () => {
	const set = (replicas: number, spec: Partial<StatefulSet['spec']> = {}): StatefulSet => {
		const { metadata, spec: base } = deployment('db', replicas);
		const kind = 'StatefulSet';
		return { apiVersion: 'apps/v1', kind, metadata, spec: { ...base, serviceName: 'db', ...spec } };
	};
	const names = () => pods().map(({ metadata }) => metadata.name);

	it('makes pods in order, each after the one before is ready', async () => {
		cluster.api.create('statefulsets', set(3));
		await cluster.settle();
		expect(names()).toEqual(['db-0']);
		cluster.kubelet(false);
		await cluster.settle();
		expect(names()).toEqual(['db-0']);
		cluster.setReady(pods()[0]!, true);
		await cluster.settle();
		expect(names()).toEqual(['db-0', 'db-1']);
		await cluster.converge();
		expect(names()).toEqual(['db-0', 'db-1', 'db-2']);
		expect(pods()[1]!.spec).toMatchObject({ hostname: 'db-1', subdomain: 'db' });
		expect(pods()[1]!.metadata.labels).toMatchObject({ 'statefulset.kubernetes.io/pod-name': 'db-1' });
		const { status } = cluster.api.get('statefulsets', 'default', 'db')!;
		expect(status).toMatchObject({ replicas: 3, readyReplicas: 3, currentReplicas: 3, updatedReplicas: 3 });
	});

	it('makes all pods at once with Parallel', async () => {
		cluster.api.create('statefulsets', set(3, { podManagementPolicy: 'Parallel' }));
		await cluster.settle();
		expect(names()).toEqual(['db-0', 'db-1', 'db-2']);
	});

	it('shrinks from the highest ordinal and gives a replaced pod its name again', async () => {
		cluster.api.create('statefulsets', set(3));
		await cluster.converge();
		const stored = cluster.api.get('statefulsets', 'default', 'db')!;
		cluster.api.update('statefulsets', { ...stored, spec: { ...stored.spec, replicas: 2 } });
		await cluster.settle();
		expect(
			pods()
				.filter((pod) => pod.metadata.deletionTimestamp)
				.map(({ metadata }) => metadata.name),
		).toEqual(['db-2']);
		await cluster.converge();
		const { uid } = pods()[0]!.metadata;
		cluster.api.delete('pods', 'default', 'db-0');
		await cluster.converge();
		expect(names()).toEqual(['db-0', 'db-1']);
		expect(pods()[0]!.metadata.uid).not.toBe(uid);
	});

	it('replaces pods of an old template one at a time, from the highest', async () => {
		cluster.api.create('statefulsets', set(2));
		await cluster.converge();
		const stored = structuredClone(cluster.api.get('statefulsets', 'default', 'db')!);
		stored.spec.template.spec!.containers[0]!.image = 'agnhost:2';
		cluster.api.update('statefulsets', stored);
		await cluster.settle();
		expect(
			pods()
				.filter((pod) => pod.metadata.deletionTimestamp)
				.map(({ metadata }) => metadata.name),
		).toEqual(['db-1']);
		await cluster.converge();
		expect(pods().map(image)).toEqual(['agnhost:2', 'agnhost:2']);
	});

	const revisions = () =>
		cluster.api
			.list('controllerrevisions', 'default')
			.toSorted((a, b) => a.revision - b.revision)
			.map(({ metadata, revision, data }) => ({
				name: metadata.name,
				revision,
				image: (data as { spec: { template: PodTemplate } }).spec.template.spec!.containers[0]!.image,
			}));
	const setImage = (to: string, spec: Partial<StatefulSet['spec']> = {}) => {
		const stored = structuredClone(cluster.api.get('statefulsets', 'default', 'db')!);
		stored.spec.template.spec!.containers[0]!.image = to;
		cluster.api.update('statefulsets', { ...stored, spec: { ...stored.spec, ...spec } });
	};

	it('keeps every template as a revision and names the pods after theirs', async () => {
		cluster.api.create('statefulsets', set(1));
		await cluster.converge();
		const [first] = revisions();
		expect(pods()[0]!.metadata.labels).toMatchObject({
			'apps.kubernetes.io/pod-index': '0',
			'controller-revision-hash': first!.name,
		});
		setImage('agnhost:2');
		await cluster.converge();
		expect(revisions()).toMatchObject([
			{ revision: 1, image: 'agnhost:1' },
			{ revision: 2, image: 'agnhost:2' },
		]);
		const { status } = cluster.api.get('statefulsets', 'default', 'db')!;
		expect(status!.currentRevision).toBe(revisions()[1]!.name);
		setImage('agnhost:1');
		await cluster.converge();
		expect(revisions().map(({ revision, image }) => [revision, image])).toEqual([
			[2, 'agnhost:2'],
			[3, 'agnhost:1'],
		]);
	});

	it('leaves pods below the partition as they are, and a lost one comes back as it was', async () => {
		cluster.api.create('statefulsets', set(3));
		await cluster.converge();
		const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 2 } };
		setImage('agnhost:2', { updateStrategy });
		await cluster.converge();
		expect(pods().map(image)).toEqual(['agnhost:1', 'agnhost:1', 'agnhost:2']);
		cluster.api.delete('pods', 'default', 'db-0');
		await cluster.converge();
		expect(pods().map(image)).toEqual(['agnhost:1', 'agnhost:1', 'agnhost:2']);
		const { status } = cluster.api.get('statefulsets', 'default', 'db')!;
		expect(status).toMatchObject({ updatedReplicas: 1, currentReplicas: 2, readyReplicas: 3 });
		expect(status!.currentRevision).not.toBe(status!.updateRevision);
		setImage('agnhost:2', { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } } });
		await cluster.converge();
		expect(pods().map(image)).toEqual(Array(3).fill('agnhost:2'));
	});

	it('keeps revisionHistoryLimit revisions that no pod has', async () => {
		cluster.api.create('statefulsets', set(1, { revisionHistoryLimit: 1 }));
		await cluster.converge();
		for (const tag of ['agnhost:2', 'agnhost:3', 'agnhost:4']) {
			setImage(tag);
			await cluster.converge();
		}
		expect(revisions().map(({ image }) => image)).toEqual(['agnhost:3', 'agnhost:4']);
	});

	it('replaces nothing with OnDelete until a pod is deleted', async () => {
		cluster.api.create('statefulsets', set(2, { updateStrategy: { type: 'OnDelete' } }));
		await cluster.converge();
		setImage('agnhost:2');
		await cluster.converge();
		expect(pods().map(image)).toEqual(['agnhost:1', 'agnhost:1']);
		cluster.api.delete('pods', 'default', 'db-0');
		await cluster.converge();
		expect(pods().map(image)).toEqual(['agnhost:2', 'agnhost:1']);
	});

	it('writes nothing when nothing changed', async () => {
		cluster.api.create('statefulsets', set(2));
		await cluster.converge();
		const before = cluster.writes();
		cluster.clock.advance(3_600_000);
		const stored = cluster.api.get('statefulsets', 'default', 'db')!;
		cluster.api.update('statefulsets', { ...stored, metadata: { ...stored.metadata, labels: { a: 'b' } } });
		await cluster.converge();
		expect(cluster.writes()).toBe(before + 1);
	});
});
