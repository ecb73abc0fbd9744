import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { KubeObject } from '../../standalone/port.ts';
import { createTestCluster, deployment, type TestCluster } from './controller-cluster.ts';

let cluster: TestCluster;

beforeEach(() => {
	cluster = createTestCluster();
	cluster.addNode('node1');
});

afterEach(() => cluster.stop());

const get = (name: string, namespace = 'default') => cluster.api.get('configmaps', namespace, name);
const left = () =>
	cluster.api
		.list('configmaps', 'default')
		.map(({ metadata }) => metadata.name)
		.filter((name) => !name.startsWith('kube-'));

function add(name: string, owners: readonly KubeObject[] = [], blockOwnerDeletion = true): KubeObject {
	const ownerReferences = owners.map(({ metadata }) => ({
		apiVersion: 'v1',
		kind: 'ConfigMap',
		name: metadata.name,
		uid: metadata.uid!,
		blockOwnerDeletion,
	}));
	return cluster.api.create('configmaps', { metadata: { name, namespace: 'default', ownerReferences } });
}

const remove = (name: string, propagationPolicy?: 'Background' | 'Foreground' | 'Orphan') =>
	cluster.api.remove('configmaps', 'default', name, { propagationPolicy });

const owners = (name: string) => get(name)!.metadata.ownerReferences?.map((owner) => owner.name);

function hold(name: string, ...finalizers: string[]): void {
	const object = get(name)!;
	cluster.api.update('configmaps', { ...object, metadata: { ...object.metadata, finalizers } });
}

describe('garbage collection by owner references', () => {
	test('Background takes dependents along, and theirs', () => {
		const top = add('top');
		const middle = add('middle', [top]);
		add('leaf', [middle]);
		remove('top');
		expect(left()).toEqual([]);
	});

	test('a dependent of two owners loses a reference with the first and goes with the last', () => {
		const [a, b] = [add('a'), add('b')];
		add('shared', [a, b]);
		remove('a');
		expect(owners('shared')).toEqual(['b']);
		remove('b');
		expect(left()).toEqual([]);
	});

	test('what was let go stays when its former owner goes', () => {
		const top = add('top');
		const leaf = add('leaf', [top]);
		cluster.api.update('configmaps', { ...leaf, metadata: { ...leaf.metadata, ownerReferences: [] } });
		remove('top');
		expect(left()).toEqual(['leaf']);
	});

	test('Foreground waits for dependents that block, and for theirs, and for no others', () => {
		const top = add('top');
		const middle = add('middle', [top]);
		add('leaf', [middle]);
		add('beside', [top], false);
		hold('leaf', 'example.com/hold');
		remove('top', 'Foreground');
		expect(left()).toEqual(['beside', 'leaf', 'middle', 'top']);
		expect(get('top')!.metadata.finalizers).toEqual(['foregroundDeletion']);
		expect(get('middle')!.metadata.finalizers).toEqual(['foregroundDeletion']);
		expect(get('beside')!.metadata.deletionTimestamp).toBeUndefined();
		hold('leaf');
		expect(left()).toEqual([]);
	});

	test('Foreground without blocking dependents is at once', () => {
		add('beside', [add('top')], false);
		remove('top', 'Foreground');
		expect(left()).toEqual([]);
	});

	test('Foreground lets a dependent go that has another owner', () => {
		const [a, b] = [add('a'), add('b')];
		add('shared', [a, b]);
		remove('a', 'Foreground');
		expect([left(), owners('shared')]).toEqual([['b', 'shared'], ['b']]);
	});

	test('Foreground ends when its last blocking dependent changes its owner', () => {
		const top = add('top');
		add('leaf', [top]);
		hold('leaf', 'example.com/hold');
		remove('top', 'Foreground');
		const leaf = get('leaf')!;
		cluster.api.update('configmaps', { ...leaf, metadata: { ...leaf.metadata, ownerReferences: [] } });
		expect(left()).toEqual(['leaf']);
	});

	test('Orphan leaves the dependents, without a reference', () => {
		add('leaf', [add('top')]);
		remove('top', 'Orphan');
		expect([left(), owners('leaf')]).toEqual([['leaf'], undefined]);
	});

	test('an object that names an owner that is gone goes', async () => {
		const top = add('top');
		remove('top');
		add('late', [top]);
		await cluster.settle();
		expect(left()).toEqual([]);
	});

	test('a released pod outlives its ReplicaSet; the others go with the Deployment', async () => {
		cluster.api.create('deployments', deployment('web', 2));
		await cluster.converge();
		const [pod] = cluster.api.list('pods', 'default');
		cluster.api.update('pods', { ...pod!, metadata: { ...pod!.metadata, labels: { app: 'debug' } } });
		await cluster.converge();
		cluster.api.delete('deployments', 'default', 'web');
		await cluster.converge();
		expect(cluster.api.list('pods', 'default').map(({ metadata }) => metadata.uid)).toEqual([
			pod!.metadata.uid,
		]);
		expect(cluster.api.list('replicasets', 'default')).toEqual([]);
	});

	test('a Deployment deleted in the foreground goes after its ReplicaSet, that after its pods', async () => {
		cluster.api.create('deployments', deployment('web', 1));
		await cluster.converge();
		const gone: string[] = [];
		for (const resource of ['deployments', 'replicasets', 'pods'])
			cluster.api.watch(resource, ({ type }) => type === 'DELETED' && gone.push(resource));
		cluster.api.remove('deployments', 'default', 'web', { propagationPolicy: 'Foreground' });
		await cluster.converge();
		expect(gone).toEqual(['pods', 'replicasets', 'deployments']);
	});

	test('a namespace takes its contents along and waits for finalizers', async () => {
		cluster.api.create('namespaces', { metadata: { name: 'team' }, spec: {} });
		const web = deployment('web', 1);
		cluster.api.create('deployments', { ...web, metadata: { ...web.metadata, namespace: 'team' } });
		cluster.api.create('configmaps', {
			metadata: { name: 'held', namespace: 'team', finalizers: ['example.com/hold'] },
		});
		await cluster.converge();
		cluster.api.delete('namespaces', undefined, 'team');
		await cluster.converge();
		expect(cluster.api.list('pods', 'team')).toEqual([]);
		expect(cluster.api.get('namespaces', undefined, 'team')?.status?.phase).toBe('Terminating');
		const held = get('held', 'team')!;
		cluster.api.update('configmaps', { ...held, metadata: { ...held.metadata, finalizers: [] } });
		await cluster.settle();
		expect(cluster.api.get('namespaces', undefined, 'team')).toBeUndefined();
	});
});
