import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KubeObject } from '../../agent/standalone/port.ts';
import { createTestCluster, deployment, type TestCluster } from './controller-cluster.ts';

let cluster: TestCluster;

beforeEach(() => {
	cluster = createTestCluster();
	cluster.addNode('node1');
	cluster.addNode('node2');
});

afterEach(() => cluster.stop());

const pods = () => cluster.api.list('pods', 'default');
const image = (pod: KubeObject) => pod.spec.containers[0].image;

describe('StatefulSet', () => {
	const set = (replicas: number, spec: Record<string, unknown> = {}): KubeObject => ({
		...deployment('db', replicas, { serviceName: 'db', ...spec }),
		kind: 'StatefulSet',
	});
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
		stored.spec.template.spec.containers[0].image = 'agnhost:2';
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
});
