import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Conditioned } from '../../standalone/controllers/pod-state.ts';
import type { Deployment, Pod, ReplicaSet } from '../../standalone/port.ts';
import { createTestCluster, deployment, type TestCluster } from './controller-cluster.ts';

let cluster: TestCluster;

beforeEach(() => {
	cluster = createTestCluster();
	cluster.addNode('node1');
	cluster.addNode('node2');
});

afterEach(() => cluster.stop());

const get = (name = 'web') => cluster.api.get('deployments', 'default', name)!;
const pods = () => cluster.api.list('pods', 'default');
const sets = () => cluster.api.list('replicasets', 'default');
const condition = ({ status }: Conditioned, type: string) =>
	status!.conditions!.find((entry) => entry.type === type);
const revision = (set: ReplicaSet) => Number(set.metadata.annotations?.['deployment.kubernetes.io/revision']);
/** Events of an object, oldest first. */
const told = (kind: string, name: string) =>
	cluster.api
		.list('events', 'default')
		.filter(({ involvedObject }) => involvedObject.kind === kind && involvedObject.name === name)
		.sort((a, b) => Number(a.metadata.resourceVersion) - Number(b.metadata.resourceVersion))
		.map(({ reason, message }) => `${reason} ${message}`);
const image = (pod: Pod) => pod.spec.containers[0]!.image;

function setImage(name: string, to: string, spec: Partial<Deployment['spec']> = {}): void {
	const object = structuredClone(get(name));
	object.spec.template.spec!.containers[0]!.image = to;
	cluster.api.update('deployments', { ...object, spec: { ...object.spec, ...spec } });
}

describe('Deployment', () => {
	it('makes one ReplicaSet with a hash and its pods, and reports them as rollout status needs', async () => {
		cluster.api.create('deployments', deployment('web', 3));
		await cluster.converge();
		const set = sets()[0]!;
		const hash = set.metadata.labels!['pod-template-hash']!;
		expect(set.metadata.name).toBe(`web-${hash}`);
		expect(set.metadata.annotations).toMatchObject({ 'deployment.kubernetes.io/revision': '1' });
		expect(set.metadata.ownerReferences).toMatchObject([
			{ kind: 'Deployment', name: 'web', controller: true },
		]);
		expect(pods()).toHaveLength(3);
		for (const pod of pods()) {
			expect(pod.metadata.name).toMatch(new RegExp(`^web-${hash}-[a-z0-9]{5}$`));
			expect(pod.metadata.labels).toEqual({ app: 'web', 'pod-template-hash': hash });
			expect(pod.metadata.ownerReferences).toMatchObject([{ kind: 'ReplicaSet', uid: set.metadata.uid }]);
		}
		expect(get().status).toMatchObject({
			observedGeneration: get().metadata.generation,
			replicas: 3,
			updatedReplicas: 3,
			readyReplicas: 3,
			availableReplicas: 3,
			unavailableReplicas: 0,
		});
		expect(condition(get(), 'Available')).toMatchObject({
			status: 'True',
			reason: 'MinimumReplicasAvailable',
		});
		expect(condition(get(), 'Progressing')).toMatchObject({
			status: 'True',
			reason: 'NewReplicaSetAvailable',
		});
	});

	it('spreads pods over the nodes', async () => {
		cluster.api.create('deployments', deployment('web', 6));
		await cluster.converge();
		const perNode = Map.groupBy(pods(), (pod) => pod.spec.nodeName);
		expect([...perNode].map(([name, list]) => [name, list.length]).sort()).toEqual([
			['node1', 3],
			['node2', 3],
		]);
	});

	it('is not Available while its pods are not ready', async () => {
		cluster.api.create('deployments', deployment('web', 2));
		await cluster.settle();
		cluster.kubelet(false);
		await cluster.settle();
		expect(condition(get(), 'Available')).toMatchObject({ status: 'False' });
		expect(get().status).toMatchObject({ readyReplicas: 0, unavailableReplicas: 2 });
	});

	it.each([
		[5, 2],
		[2, 5],
		[3, 0],
	])('scales from %i to %i', async (from, to) => {
		cluster.api.create('deployments', deployment('web', from));
		await cluster.converge();
		cluster.api.update('deployments', { ...get(), spec: { ...get().spec, replicas: to } });
		await cluster.converge();
		expect(pods()).toHaveLength(to);
		expect(get().status).toMatchObject({ replicas: to, readyReplicas: to, observedGeneration: 2 });
		expect(sets()).toHaveLength(1);
	});

	it.each([
		[1, 0],
		[0, 1],
		['25%', '25%'],
		[2, 2],
	])('rolls to a new template within maxSurge %s and maxUnavailable %s', async (maxSurge, maxUnavailable) => {
		const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } };
		cluster.api.create('deployments', deployment('web', 4, { strategy }));
		await cluster.converge();
		setImage('web', 'agnhost:2');
		const surge = maxSurge === '25%' ? 1 : Number(maxSurge);
		const unavailable = maxUnavailable === '25%' ? 1 : Number(maxUnavailable);
		for (let round = 0; round < 20; round++) {
			await cluster.settle();
			const live = pods().filter((pod) => !pod.metadata.deletionTimestamp);
			const ready = live.filter((pod) => condition(pod, 'Ready')?.status === 'True');
			expect(live.length).toBeLessThanOrEqual(4 + surge);
			expect(ready.length).toBeGreaterThanOrEqual(4 - unavailable);
			if (cluster.kubelet() === 0) break;
		}
		expect(pods().map(image)).toEqual(Array(4).fill('agnhost:2'));
		expect(
			sets()
				.map((set) => set.spec.replicas)
				.sort(),
		).toEqual([0, 4]);
		expect(get().metadata.annotations).toMatchObject({ 'deployment.kubernetes.io/revision': '2' });
		expect(condition(get(), 'Progressing')).toMatchObject({ reason: 'NewReplicaSetAvailable' });
	});

	it('stops a rollout at pods that never get ready and says so after progressDeadlineSeconds', async () => {
		cluster.api.create('deployments', deployment('web', 4, { progressDeadlineSeconds: 60 }));
		await cluster.converge();
		setImage('web', 'broken');
		for (let round = 0; round < 5; round++) {
			await cluster.settle();
			cluster.kubelet(false);
		}
		const ready = pods().filter((pod) => condition(pod, 'Ready')?.status === 'True');
		expect(ready.length).toBeGreaterThanOrEqual(3);
		cluster.clock.advance(62_000);
		await cluster.settle();
		expect(condition(get(), 'Progressing')).toMatchObject({
			status: 'False',
			reason: 'ProgressDeadlineExceeded',
		});
	});

	it('returns to an earlier template by its ReplicaSet, with a new revision', async () => {
		cluster.api.create('deployments', deployment('web', 2));
		await cluster.converge();
		setImage('web', 'agnhost:2');
		await cluster.converge();
		setImage('web', 'agnhost:1');
		await cluster.converge();
		expect(sets()).toHaveLength(2);
		expect(pods().map(image)).toEqual(['agnhost:1', 'agnhost:1']);
		expect(get().metadata.annotations).toMatchObject({ 'deployment.kubernetes.io/revision': '3' });
	});

	it('ends every old pod before it makes a new one with Recreate', async () => {
		cluster.api.create('deployments', deployment('web', 2, { strategy: { type: 'Recreate' } }));
		await cluster.converge();
		setImage('web', 'agnhost:2');
		await cluster.settle();
		expect(pods().map(image)).toEqual(['agnhost:1', 'agnhost:1']);
		expect(pods().every((pod) => pod.metadata.deletionTimestamp)).toBe(true);
		await cluster.converge();
		expect(pods().map(image)).toEqual(['agnhost:2', 'agnhost:2']);
		expect(get().status).toMatchObject({ updatedReplicas: 2, availableReplicas: 2 });
	});

	it('keeps revisionHistoryLimit old ReplicaSets', async () => {
		cluster.api.create('deployments', deployment('web', 1, { revisionHistoryLimit: 1 }));
		await cluster.converge();
		for (const tag of ['agnhost:2', 'agnhost:3', 'agnhost:4']) {
			setImage('web', tag);
			await cluster.converge();
		}
		const revisions = sets().map((set) => set.metadata.annotations?.['deployment.kubernetes.io/revision']);
		expect(revisions.sort()).toEqual(['3', '4']);
	});

	it('tells of every scaling and of every pod, as kube-controller-manager words it', async () => {
		cluster.api.create('deployments', deployment('web', 1));
		await cluster.converge();
		setImage('web', 'agnhost:2');
		await cluster.converge();
		const [first, second] = sets()
			.toSorted((a, b) => revision(a) - revision(b))
			.map(({ metadata }) => metadata.name);
		expect(told('Deployment', 'web')).toEqual([
			`ScalingReplicaSet Scaled up replica set ${first} from 0 to 1`,
			`ScalingReplicaSet Scaled up replica set ${second} from 0 to 1`,
			`ScalingReplicaSet Scaled down replica set ${first} from 1 to 0`,
		]);
		const [pod] = pods();
		expect(told('ReplicaSet', second!)).toEqual([`SuccessfulCreate Created pod: ${pod!.metadata.name}`]);
		expect(told('Pod', pod!.metadata.name)).toEqual([
			`Scheduled Successfully assigned default/${pod!.metadata.name} to ${pod!.spec.nodeName}`,
		]);
	});

	it('does not roll while it is paused, says so, still scales, and rolls when resumed', async () => {
		cluster.api.create('deployments', deployment('web', 2));
		await cluster.converge();
		setImage('web', 'agnhost:2', { paused: true, replicas: 3 });
		await cluster.converge();
		expect(pods().map(image)).toEqual(Array(3).fill('agnhost:1'));
		expect(condition(get(), 'Progressing')).toMatchObject({ status: 'Unknown', reason: 'DeploymentPaused' });
		cluster.api.update('deployments', { ...get(), spec: { ...get().spec, paused: false } });
		await cluster.converge();
		expect(pods().map(image)).toEqual(Array(3).fill('agnhost:2'));
		expect(condition(get(), 'Progressing')).toMatchObject({ reason: 'NewReplicaSetAvailable' });
	});

	it('grows old and new ReplicaSets by their share in the midst of a rollout', async () => {
		const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } };
		cluster.api.create('deployments', deployment('web', 10, { strategy }));
		await cluster.converge();
		setImage('web', 'broken');
		for (let round = 0; round < 6; round++) {
			await cluster.settle();
			cluster.kubelet(false);
		}
		const sizes = () =>
			sets()
				.toSorted((a, b) => revision(a) - revision(b))
				.map((set) => set.spec.replicas);
		expect(sizes()).toEqual([8, 5]);
		cluster.api.update('deployments', { ...get(), spec: { ...get().spec, replicas: 15 } });
		await cluster.settle();
		// The figures of "Proportional scaling" in the Kubernetes documentation
		expect(sizes()).toEqual([11, 7]);
	});

	it('adopts a ReplicaSet without an owner and uses one of its template', async () => {
		cluster.api.create('deployments', deployment('web', 2));
		await cluster.converge();
		const [set] = sets();
		cluster.api.remove('deployments', 'default', 'web', { propagationPolicy: 'Orphan' });
		await cluster.converge();
		expect(sets()[0]!.metadata.ownerReferences).toBeUndefined();
		const before = pods().map(({ metadata }) => metadata.uid);
		cluster.api.create('deployments', deployment('web', 2));
		await cluster.converge();
		expect(sets()).toHaveLength(1);
		expect(sets()[0]!.metadata).toMatchObject({ uid: set!.metadata.uid, ownerReferences: [{ name: 'web' }] });
		expect(pods().map(({ metadata }) => metadata.uid)).toEqual(before);
	});

	it('says why its pods cannot be made', async () => {
		// A pod name appends 6 characters to the ReplicaSet name, which makes it too long here
		const object = deployment('web', 1);
		object.metadata.name = 'w'.repeat(240);
		cluster.api.create('deployments', object);
		await cluster.settle();
		expect(condition(get(object.metadata.name), 'ReplicaFailure')).toMatchObject({
			status: 'True',
			reason: 'FailedCreate',
		});
	});

	it('keeps the annotations of its current ReplicaSet like its own, and the revisions that a set had', async () => {
		const annotations = { 'kubernetes.io/change-cause': 'first' };
		const object = deployment('web', 1);
		cluster.api.create('deployments', { ...object, metadata: { ...object.metadata, annotations } });
		await cluster.converge();
		setImage('web', 'agnhost:2');
		await cluster.converge();
		setImage('web', 'agnhost:1');
		await cluster.converge();
		const back = sets().find((set) => set.spec.replicas === 1)!;
		expect(back.metadata.annotations).toMatchObject({
			'kubernetes.io/change-cause': 'first',
			'deployment.kubernetes.io/revision': '3',
			'deployment.kubernetes.io/revision-history': '1',
			'deployment.kubernetes.io/desired-replicas': '1',
			'deployment.kubernetes.io/max-replicas': '2',
		});
	});

	it('takes its ReplicaSets and pods along', async () => {
		cluster.api.create('deployments', deployment('web', 2));
		await cluster.converge();
		cluster.api.delete('deployments', 'default', 'web');
		await cluster.converge();
		expect([...sets(), ...pods()]).toEqual([]);
	});

	it('writes nothing when nothing changed', async () => {
		cluster.api.create('deployments', deployment('web', 3));
		await cluster.converge();
		const before = cluster.writes();
		cluster.api.update('deployments', get());
		cluster.clock.advance(3_600_000);
		await cluster.converge();
		expect(cluster.writes()).toBe(before);
	});
});

describe('ReplicaSet', () => {
	it('replaces a pod that was deleted', async () => {
		cluster.api.create('deployments', deployment('web', 2));
		await cluster.converge();
		const [first] = pods();
		cluster.api.delete('pods', 'default', first!.metadata.name);
		await cluster.converge();
		expect(pods()).toHaveLength(2);
		expect(pods().some((pod) => pod.metadata.uid === first!.metadata.uid)).toBe(false);
	});

	it('deletes pods that are not ready first, and newer ones before older ones', async () => {
		cluster.api.create('deployments', deployment('web', 2));
		await cluster.converge();
		const old = pods().map(({ metadata }) => metadata.name);
		cluster.clock.advance(60_000);
		cluster.api.update('deployments', { ...get(), spec: { ...get().spec, replicas: 4 } });
		await cluster.converge();
		cluster.setReady(pods().find(({ metadata }) => metadata.name === old[0])!, false);
		await cluster.settle();
		cluster.api.update('deployments', { ...get(), spec: { ...get().spec, replicas: 1 } });
		await cluster.converge();
		expect(pods().map(({ metadata }) => metadata.name)).toEqual([old[1]]);
	});

	it('lets a relabelled pod go and adopts a matching one', async () => {
		cluster.api.create('deployments', deployment('web', 1));
		await cluster.converge();
		const pod = pods()[0]!;
		const metadata = { ...pod.metadata, labels: { app: 'debug' } };
		cluster.api.update('pods', { ...pod, metadata });
		await cluster.converge();
		expect(pods()).toHaveLength(2);
		const freed = cluster.api.get('pods', 'default', pod.metadata.name)!;
		expect(freed.metadata.ownerReferences ?? []).toEqual([]);

		cluster.api.update('pods', { ...freed, metadata: { ...freed.metadata, labels: pod.metadata.labels! } });
		await cluster.converge();
		expect(pods()).toHaveLength(1);
	});

	it('counts a pod as available minReadySeconds after it got ready', async () => {
		cluster.api.create('deployments', deployment('web', 1, { minReadySeconds: 10 }));
		await cluster.converge();
		expect(get().status).toMatchObject({ readyReplicas: 1, availableReplicas: 0 });
		cluster.clock.advance(10_001);
		await cluster.converge();
		expect(get().status).toMatchObject({ readyReplicas: 1, availableReplicas: 1 });
	});
});
