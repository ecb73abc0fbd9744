import {
	appendFileSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Api, createApi } from '../../standalone/api/index.ts';
import { ApiClient } from '../../standalone/cluster/api-client.ts';
import { type Applied, applyObjects } from '../../standalone/cluster/apply.ts';
import { writeKubeconfig } from '../../standalone/cluster/kubeconfig.ts';
import { readLogs } from '../../standalone/cluster/logs.ts';
import { parseManifests } from '../../standalone/cluster/manifests.ts';
import { type Paths, pathsOf } from '../../standalone/cluster/paths.ts';
import { podProblems } from '../../standalone/cluster/problems.ts';
import type { ObjectMeta, PodStatus } from '../../standalone/port.ts';
import { credentials, ownerAccess } from './api-credentials.ts';

const MANIFESTS = join(import.meta.dirname, '../manifests');

let folder: string;
let paths: Paths;
let api: Api;
let client: ApiClient;
beforeEach(async () => {
	folder = mkdtempSync(join(tmpdir(), 'mln-cmd-'));
	paths = pathsOf(folder);
	mkdirSync(paths.logs);
	api = createApi({ credentials });
	const { port } = await api.listen({ port: 0 });
	writeKubeconfig(paths.kubeconfig, ownerAccess(port));
	client = new ApiClient(paths.kubeconfig);
});
afterEach(async () => {
	await api.close();
	rmSync(folder, { recursive: true, force: true });
});

const apply = async (text: string, namespace = 'default') => {
	const applied: Applied[] = [];
	for await (const one of applyObjects(client, parseManifests(text, 'a.yaml'), namespace)) applied.push(one);
	return applied;
};

test('parseManifests() reads YAML documents, KYAML, JSON and lists', () => {
	const names = (text: string) =>
		parseManifests(text, 'f').map(({ kind, metadata }) => `${kind}/${metadata.name}`);
	expect(
		names('---\n# nothing\n---\nkind: A\nmetadata: {name: a}\n---\nkind: B\nmetadata: {name: b}\n'),
	).toEqual(['A/a', 'B/b']);
	expect(names('---\n{\n  kind: "A",\n  metadata: {\n    name: "a",\n  },\n}\n')).toEqual(['A/a']);
	expect(names('{"kind": "List", "items": [{"kind": "A", "metadata": {"name": "a"}}]}')).toEqual(['A/a']);
	expect(() => names('kind: A\nmetadata: {}\n')).toThrow('document 1 of f: it lacks kind or metadata.name');
	expect(() => names('a: [')).toThrow(/^Cannot read f: /);
});

test('applyObjects() creates, changes, leaves alone, names unknown kinds and goes on behind a failure', async () => {
	const text = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
---
apiVersion: v1
kind: Service
metadata: {name: No}
spec: {ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}
`;
	const outcomes = async (of: string) =>
		(await apply(of, 'default')).map(({ object, outcome }) => `${object} ${outcome}`);
	expect(await outcomes(text)).toEqual([
		'service/web created',
		'ingress/web skipped',
		'service/No failed',
		'deployment.apps/web created',
	]);
	const { revision } = api.objects.store;
	expect(await outcomes(text)).toEqual([
		'service/web unchanged',
		'ingress/web skipped',
		'service/No failed',
		'deployment.apps/web unchanged',
	]);
	expect(api.objects.store.revision).toBe(revision);
	expect((await outcomes(text.replace('{port: 80}', '{port: 81}')))[0]).toBe('service/web configured');
	expect(api.objects.get('services', 'default', 'web')!.spec.ports).toHaveLength(1);
	const labels = () => api.objects.get('services', 'default', 'web')!.metadata.labels;
	await apply(text.replace('{name: web}', '{name: web, labels: {old: x}}'));
	expect(labels()).toEqual({ old: 'x' });
	const [, skipped, failed] = await apply(text);
	expect(labels()).toBeUndefined();
	expect(skipped?.reason).toBe('kind Ingress of networking.k8s.io/v1 is not served here');
	expect(failed?.reason).toMatch(/Service "No" is invalid: metadata\.name/);
});

test('applyObjects() takes the namespace that is given for objects that name none', async () => {
	await apply('kind: Namespace\napiVersion: v1\nmetadata: {name: a}');
	await apply('kind: ConfigMap\napiVersion: v1\nmetadata: {name: c}', 'a');
	expect(api.objects.get('configmaps', 'a', 'c')).toBeDefined();
});

test('applyObjects() brings in every manifest that people publish, kinds that are not served aside', async () => {
	for (const file of readdirSync(MANIFESTS).filter((name) => /\.(yaml|json)$/.test(name))) {
		const namespace = file.replace(/[^a-z0-9]+/g, '-').slice(0, 60);
		await apply(`{kind: Namespace, apiVersion: v1, metadata: {name: ${namespace}}}`);
		const outcomes = await apply(readFileSync(join(MANIFESTS, file), 'utf8'), namespace);
		expect(outcomes.filter(({ outcome }) => outcome === 'failed')).toEqual([]);
		expect(outcomes.some(({ outcome }) => outcome === 'created')).toBe(true);
	}
});

const logs = async (
	target: string,
	options: { tail?: number; follow?: boolean } = {},
	signal?: AbortSignal,
) => {
	const { tail, follow = false } = options;
	let text = '';
	const all = { tail, follow, container: undefined, previous: false };
	for await (const part of readLogs(target, paths, client, all, signal ?? new AbortController().signal))
		text += part;
	return text;
};

test('readLogs() prints the file of the control plane or of an agent, its end, and what follows', async () => {
	writeFileSync(paths.controlPlaneLog, 'one\ntwo\n');
	writeFileSync(join(paths.logs, 'agent-node1.log'), 'agent\n');
	expect(await logs('control-plane')).toBe('one\ntwo\n');
	expect(await logs('control-plane', { tail: 1 })).toBe('two\n');
	expect(await logs('node1')).toBe('agent\n');
	const stop = new AbortController();
	const seen: string[] = [];
	const options = { tail: 0, follow: true, container: undefined, previous: false };
	for await (const part of readLogs('control-plane', paths, client, options, stop.signal)) {
		if (seen.length === 0) appendFileSync(paths.controlPlaneLog, 'three\n');
		seen.push(String(part));
		if (seen.join('') === 'three\n') stop.abort();
	}
	expect(seen.join('')).toBe('three\n');
});

test('readLogs() of a pod that is not there says so', async () => {
	await expect(logs('none')).rejects.toThrow('pods "none" not found');
	await expect(logs('a/none')).rejects.toThrow('/api/v1/namespaces/a/pods/none/log');
});

test('podProblems() names what waits, what no node takes and what is not as asked', () => {
	const pod = (status: PodStatus, metadata: Partial<ObjectMeta> = {}) => ({
		metadata: { name: 'p', namespace: 'n', ...metadata },
		status,
	});
	const unready = { name: 'c', image: '', imageID: '', ready: false, restartCount: 0 };
	const waiting = (reason: string, message = '') => ({
		containerStatuses: [{ ...unready, state: { waiting: { reason, message } } }],
	});
	expect(podProblems([pod(waiting('CrashLoopBackOff', 'back-off 1s'))])).toEqual([
		'Pod n/p: container c: CrashLoopBackOff, back-off 1s',
	]);
	expect(podProblems([pod(waiting('ContainerCreating'))])).toEqual([]);
	expect(podProblems([pod(waiting('CrashLoopBackOff'), { deletionTimestamp: 'now' })])).toEqual([]);
	const unscheduled = { conditions: [{ type: 'PodScheduled', status: 'False', message: 'no room' }] };
	expect(podProblems([pod(unscheduled)])).toEqual(['Pod n/p: no room']);
	expect(podProblems([pod({ message: 'EADDRINUSE' })])).toEqual(['Pod n/p: EADDRINUSE']);
	expect(podProblems([pod({ phase: 'Succeeded', message: 'x' })])).toEqual([]);
});
