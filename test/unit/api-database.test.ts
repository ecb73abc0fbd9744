import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Api, createApi } from '../../standalone/api/index.ts';
import { startControllers } from '../../standalone/controllers/start.ts';
import type { ConfigMap, Service } from '../../standalone/port.ts';
import type { Fields } from '../fields.ts';
import { call, openWatch } from './api-client.ts';
import { credentials } from './api-credentials.ts';

const CONFIGS = '/api/v1/namespaces/default/configmaps';

let folder: string;
let database: string;
const apis: Api[] = [];
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'mla-db-'));
	database = join(folder, 'state.db');
});
afterEach(async () => {
	for (const api of apis.splice(0)) await api.close();
	rmSync(folder, { recursive: true, force: true });
});

function open(options: Parameters<typeof createApi>[0] = {}): Api {
	const api = createApi({ database, credentials, ...options });
	apis.push(api);
	return api;
}

/** Closes the newest API and opens another one on the same database. */
async function reopen(options: Parameters<typeof createApi>[0] = {}): Promise<Api> {
	await apis.pop()!.close();
	return open(options);
}

const service = (name: string, spec: Fields = {}): Service => ({
	metadata: { name, namespace: 'default' },
	spec: { selector: { app: name }, ports: [{ port: 80 }], ...spec },
});
const config = (name: string, metadata: Fields = {}): ConfigMap => ({
	metadata: { name, namespace: 'default', ...metadata },
	data: { key: 'value' },
});
const everything = ({ objects }: Api) =>
	Object.fromEntries(objects.store.resources().map((resource) => [resource, objects.list(resource)]));

describe('an API with a database', () => {
	test('has every object again after a restart, and allocates around them (A-10)', async () => {
		const before = open();
		const svc1 = before.objects.create('services', service('svc1', { type: 'NodePort' })).spec;
		before.objects.create('configmaps', config('gone'));
		before.objects.delete('configmaps', 'default', 'gone');
		const stored = everything(before);

		const after = await reopen();
		const filled = Object.entries(stored).filter(([, objects]) => objects.length > 0);
		expect(everything(after)).toEqual(Object.fromEntries(filled));
		const svc2 = after.objects.create('services', service('svc2', { type: 'NodePort' })).spec;
		expect(svc2.clusterIP).not.toBe(svc1.clusterIP);
		for (const taken of [
			service('ip', { clusterIP: svc1.clusterIP }),
			service('port', { type: 'NodePort', ports: svc1.ports }),
		])
			expect(() => after.objects.create('services', taken)).toThrow('is already allocated');
		after.objects.delete('services', 'default', 'svc1');
		const again = service('again', { clusterIP: svc1.clusterIP });
		expect(after.objects.create('services', again).spec.clusterIP).toBe(svc1.clusterIP);
	});

	test('resourceVersions go on increasing, and a watch from before the restart is told 410', async () => {
		const before = open({ firstRevision: 5_000_000_000_000 });
		const { revision } = before.objects.store;
		const after = await reopen();
		expect(after.objects.store.revision).toBeGreaterThan(revision);
		const { port } = await after.listen({ port: 0 });
		const watch = openWatch(port!, `${CONFIGS}?watch=1&resourceVersion=${revision}`);
		expect(await watch.next()).toMatchObject({ type: 'ERROR', object: { code: 410, reason: 'Expired' } });
		watch.close();
		const made = after.objects.create('configmaps', config('new'));
		expect(Number(made.metadata.resourceVersion)).toBeGreaterThan(revision);
	});

	test('deletions that had begun go on: finalizers, foreground, a namespace that empties', async () => {
		const { objects } = open();
		objects.create('namespaces', { metadata: { name: 'n' }, spec: {} });
		objects.create('configmaps', config('inside', { namespace: 'n', finalizers: ['example.org/x'] }));
		objects.delete('namespaces', undefined, 'n');
		const owner = objects.create('configmaps', config('owner'));
		const reference = {
			apiVersion: 'v1',
			kind: 'ConfigMap',
			name: 'owner',
			uid: owner.metadata.uid!,
			blockOwnerDeletion: true,
		};
		objects.create(
			'configmaps',
			config('owned', { ownerReferences: [reference], finalizers: ['example.org/x'] }),
		);
		objects.remove('configmaps', 'default', 'owner', { propagationPolicy: 'Foreground' });

		const after = (await reopen()).objects;
		expect(after.get('namespaces', undefined, 'n')?.status?.phase).toBe('Terminating');
		expect(after.get('configmaps', 'default', 'owner')?.metadata.finalizers).toEqual(['foregroundDeletion']);
		for (const [namespace, name] of [
			['n', 'inside'],
			['default', 'owned'],
		] as const) {
			const held = structuredClone(after.mustGet('configmaps', namespace, name));
			delete held.metadata.finalizers;
			after.update('configmaps', held);
		}
		expect(after.get('namespaces', undefined, 'n')).toBeUndefined();
		expect(after.get('configmaps', 'default', 'owner')).toBeUndefined();
	});

	test('what a stored Service cannot have is told in an Event and kept from all others (C-19)', async () => {
		const before = open();
		const first = before.objects.create('services', service('first', { clusterIP: '10.96.0.9' }));
		const twin = { type: 'NodePort', clusterIP: '10.96.0.9', clusterIPs: ['10.96.0.9'] };
		before.objects.unsafePut('services', service('twin', { ...twin, ports: [{ port: 80, nodePort: 9 }] }));
		before.objects.unsafePut('services', service('far', { clusterIP: '1.2.3.4', clusterIPs: ['1.2.3.4'] }));
		const told: string[] = [];
		const { objects } = await reopen({
			onConflict: ({ metadata }, message) => told.push(`${metadata.name}: ${message}`),
		});
		expect(objects.get('services', 'default', 'twin')?.spec.clusterIP).toBe('10.96.0.9');
		expect(told.sort()).toEqual([
			'far: Cluster IP 1.2.3.4: the provided IP (1.2.3.4) is not in the valid range. The range of valid IPs is 10.96.0.0/16; please recreate the Service',
			'twin: Cluster IP 10.96.0.9: provided IP is already allocated; please recreate the Service',
			'twin: Node port 9: provided port is not in the valid range. The range of valid ports is 30000-32767; please recreate the Service',
		]);
		const reasons = objects.list('events').map((event) => `${event.involvedObject.name} ${event.reason}`);
		expect(reasons.sort()).toEqual([
			'far ClusterIPOutOfRange',
			'twin ClusterIPAlreadyAllocated',
			'twin PortOutOfRange',
		]);
		// The twin keeps the address, so it stays allocated after the first Service is deleted
		expect(first.spec.clusterIP).toBe('10.96.0.9');
		objects.delete('services', 'default', 'first');
		const third = service('third', { clusterIP: '10.96.0.9' });
		expect(() => objects.create('services', third)).toThrow('provided IP is already allocated');
		objects.delete('services', 'default', 'twin');
		expect(objects.create('services', third).spec.clusterIP).toBe('10.96.0.9');
	});
});

test('a malformed object that is stored keeps neither the others nor the controllers from starting', async () => {
	const before = open();
	const good = before.objects.create('services', service('good')).spec;
	before.objects.unsafePut(
		'services',
		service('bad', { clusterIPs: 5, ports: [null, { nodePort: 'x' }], healthCheckNodePort: 'y' }),
	);
	before.objects.unsafePut('services', { metadata: { name: 'empty', namespace: 'default' } });
	before.objects.unsafePut('pods', config('pod', { ownerReferences: 'nobody', labels: 7 }));
	before.objects.unsafePut('endpointslices', config('slice', { labels: null }));
	const faults: unknown[] = [];
	const { objects } = await reopen({ onListenerError: (error) => faults.push(error) });
	const stop = new AbortController();
	startControllers(objects, { log: pino({ level: 'silent' }) }, stop.signal);
	expect(objects.get('services', 'default', 'good')?.spec).toEqual(good);
	expect(objects.create('services', service('more')).spec.clusterIP).not.toBe(good.clusterIP);
	await expect
		.poll(() => objects.list('endpointslices').map(({ metadata }) => metadata.name.replace(/-[^-]*$/, '')))
		.toContain('more');
	stop.abort();
});

describe('a write that is acknowledged', () => {
	test('is there after kill -9 during a stream of writes', async () => {
		const child: ChildProcess = fork(
			join(import.meta.dirname, 'api-database-child.ts'),
			[database, JSON.stringify(credentials)],
			{
				execArgv: [],
			},
		);
		const [port] = (await once(child, 'message')) as [number];
		const acknowledged: string[] = [];
		const write = async (writer: number) => {
			for (let at = 0; ; at++) {
				const name = `w${writer}-${at}`;
				const answer = await call(port, CONFIGS, { method: 'POST', body: config(name) }).catch(
					() => undefined,
				);
				if (answer?.code !== 201) return;
				acknowledged.push(name);
				if (acknowledged.length === 400) child.kill('SIGKILL');
			}
		};
		await Promise.all(Array.from({ length: 8 }, (_, writer) => write(writer)));
		expect(acknowledged.length).toBeGreaterThanOrEqual(400);
		const { objects } = open();
		const names = new Set(objects.list('configmaps', 'default').map(({ metadata }) => metadata.name));
		expect(acknowledged.filter((name) => !names.has(name))).toEqual([]);
	}, 30_000);

	test('is answered with 500 while the disk refuses it, and stored when it takes it again', async () => {
		const errors: unknown[] = [];
		const api = open({ onDatabaseError: (error) => errors.push(error) });
		const { port } = await api.listen({ port: 0 });
		const other = new DatabaseSync(database);
		await call(port!, CONFIGS); // the objects of the start are committed
		other.exec('BEGIN IMMEDIATE');
		const refused = await call(port!, CONFIGS, { method: 'POST', body: config('late') });
		expect(refused.body).toMatchObject({ code: 500, reason: 'InternalError', kind: 'Status' });
		expect(errors.length).toBeGreaterThan(0);
		other.exec('ROLLBACK');
		other.close();
		expect((await call(port!, `${CONFIGS}/late`)).code).toBe(200);
		expect((await reopen()).objects.get('configmaps', 'default', 'late')).toBeDefined();
	});
});

test('a file that is no database is refused with its name and a remedy', () => {
	writeFileSync(database, 'x'.repeat(5000));
	expect(() => open()).toThrow(/Cannot open the cluster's state .*state\.db: .*"maglane standalone down"/);
});
