/** Tests the lifecycle of pods: probes, init containers, sidecars, hooks, restarts, termination. */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Environment, type Json } from './support/environment.ts';
import { type Manifest, SERVER_IMAGE, service } from './support/objects.ts';
import { startStandalone } from './support/standalone-cluster.ts';
import { eventually } from './support/wait.ts';

let env: Environment;
/** Files of pods, in a directory of this machine. */
const files = join(tmpdir(), `maglane-e2e-${randomBytes(4).toString('hex')}`);
beforeAll(async () => {
	env = await Environment.open('lifecycle', await startStandalone('e2elife'));
});
afterAll(async () => {
	rmSync(files, { recursive: true, force: true });
	await env?.[Symbol.asyncDispose]();
});

function pod(name: string, spec: object, labels: Record<string, string> = { app: name }): Manifest {
	const all = { terminationGracePeriodSeconds: 1, ...spec };
	return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec: all };
}
const shell = (name: string, script: string, more: object = {}) => ({
	name,
	image: 'busybox',
	command: ['sh', '-c', script],
	...more,
});
const SLEEP = 'sleep 86400';

const statusOf = async (name: string): Promise<Json> => (await env.get('pod', name)).status;
const containerOf = async (name: string): Promise<Json> => (await statusOf(name))?.containerStatuses?.[0];
const conditionOf = async (name: string, type: string) =>
	(await statusOf(name))?.conditions?.find((one: Json) => one.type === type)?.status;
const until = (what: string, holds: () => Promise<boolean>) =>
	eventually(what, async () => ((await holds()) ? true : undefined));
const events = async (name: string): Promise<string[]> => {
	const { items } = await env.get('events');
	return items.filter((one: Json) => one.involvedObject.name === name).map((one: Json) => one.reason);
};
const exec = (name: string, script: string) => env.kubectl('exec', name, '--', 'sh', '-c', script);

test('a container whose liveness probe fails is restarted, and its last state is kept', async () => {
	const file = `${files}/alive`;
	const exists = { exec: { command: ['test', '-e', file] } };
	const livenessProbe = { ...exists, initialDelaySeconds: 1, periodSeconds: 1, failureThreshold: 1 };
	const script = `mkdir -p ${files}; touch ${file}; echo run; ${SLEEP}`;
	await env.apply(pod('lives', { containers: [shell('c', script, { livenessProbe })] }));
	await until('it is ready', async () => (await conditionOf('lives', 'Ready')) === 'True');
	await exec('lives', `rm ${file}`);
	await until('it is restarted', async () => (await containerOf('lives'))?.restartCount === 1);
	const { lastState, started, ready } = await containerOf('lives');
	expect(lastState.terminated).toMatchObject({ exitCode: 143, signal: 15, reason: 'Error' });
	expect({ started, ready }).toEqual({ started: true, ready: true });
	expect(await conditionOf('lives', 'Ready')).toBe('True');
	expect(await events('lives')).toEqual(expect.arrayContaining(['Unhealthy', 'Killing']));
	expect(await env.kubectl('logs', 'lives', '--previous')).toBe('run\n');
});

test('readiness decides about endpoints, for programs and for the built-in server', async () => {
	const file = `${files}/ready`;
	const readinessProbe = { exec: { command: ['test', '-e', file] }, periodSeconds: 1, failureThreshold: 1 };
	const server = { name: 'server', image: SERVER_IMAGE, args: ['netexec'] };
	const labels = { app: 'probed' };
	await env.apply(
		service('probed'),
		pod('program', { containers: [shell('c', SLEEP, { readinessProbe })] }, labels),
		pod('server', { containers: [{ ...server, readinessProbe }] }, labels),
	);
	const readyEndpoints = async () => {
		const { items } = JSON.parse(
			await env.kubectl('get', 'endpointslices', '-l', 'kubernetes.io/service-name=probed', '-o', 'json'),
		);
		return items.flatMap((slice: Json) => slice.endpoints ?? []).filter((one: Json) => one.conditions.ready)
			.length;
	};
	await until('both run', async () => {
		const phases = await Promise.all(
			['program', 'server'].map(async (name) => (await statusOf(name))?.phase),
		);
		return phases.every((phase) => phase === 'Running');
	});
	expect(await conditionOf('program', 'Ready')).toBe('False');
	expect(await conditionOf('server', 'ContainersReady')).toBe('False');
	expect(await readyEndpoints()).toBe(0);
	await exec('program', `mkdir -p ${files}; touch ${file}`);
	await until('both are endpoints', async () => (await readyEndpoints()) === 2);
	await exec('program', `rm ${file}`);
	await until('none is', async () => (await readyEndpoints()) === 0);
	expect((await containerOf('server')).restartCount).toBe(0);
});

test('the built-in server is probed at its ports', async () => {
	const at = (path: string) => ({ httpGet: { path, port: 8080 }, periodSeconds: 1 });
	const server = { name: 'server', image: SERVER_IMAGE, args: ['netexec'] };
	await env.apply(
		pod('fine', {
			containers: [
				{ ...server, readinessProbe: at('/healthz'), livenessProbe: { tcpSocket: { port: 8080 } } },
			],
		}),
		pod('refused', { containers: [{ ...server, readinessProbe: at('/echo?code=503&msg=no') }] }),
	);
	await until('one is ready', async () => (await conditionOf('fine', 'Ready')) === 'True');
	await until('the other is told why not', async () => (await events('refused')).includes('Unhealthy'));
	expect(await conditionOf('refused', 'Ready')).toBe('False');
	expect(await containerOf('refused')).toMatchObject({ started: true, ready: false });
});

test('init containers run one after the other, sidecars beside what follows', async () => {
	const order = `${files}/order`;
	const note = (word: string) => `mkdir -p ${files}; echo ${word} >> ${order}`;
	const wait = `while ! test -e ${files}/go; do sleep 0.1; done`;
	const startupProbe = { exec: { command: ['grep', '-q', 'sidecar', order] }, periodSeconds: 1 };
	await env.apply(
		pod('staged', {
			initContainers: [
				shell('first', `${note('first')}; ${wait}`),
				shell('beside', `${note('sidecar')}; ${SLEEP}`, { restartPolicy: 'Always', startupProbe }),
				shell('second', note('second')),
			],
			containers: [shell('main', `${note('main')}; ${SLEEP}`)],
		}),
	);
	await until(
		'the first runs',
		async () => !!(await statusOf('staged'))?.initContainerStatuses?.[0].state.running,
	);
	expect(await statusOf('staged')).toMatchObject({
		phase: 'Pending',
		containerStatuses: [{ state: { waiting: { reason: 'PodInitializing' } } }],
	});
	expect(await conditionOf('staged', 'Initialized')).toBe('False');
	await env.kubectl('exec', 'staged', '-c', 'first', '--', 'touch', `${files}/go`);
	await until('it is ready', async () => (await conditionOf('staged', 'Ready')) === 'True');
	expect(await exec('staged', `cat ${order}`)).toBe('first\nsidecar\nsecond\nmain\n');
	const { initContainerStatuses } = await statusOf('staged');
	expect(initContainerStatuses).toMatchObject([
		{ name: 'first', ready: true, state: { terminated: { exitCode: 0, reason: 'Completed' } } },
		{ name: 'beside', ready: true, started: true },
		{ name: 'second', state: { terminated: { exitCode: 0 } } },
	]);
});

test('an init container that fails is tried again, and ends a pod that never restarts', async () => {
	const containers = [shell('main', SLEEP)];
	const initContainers = [shell('init', 'exit 3')];
	await env.apply(
		pod('again', { initContainers, containers }),
		pod('never', { initContainers, containers, restartPolicy: 'Never' }),
	);
	await until('the pod has failed', async () => (await statusOf('never'))?.phase === 'Failed');
	await until('the other tries again', async () => {
		const [init] = (await statusOf('again'))?.initContainerStatuses ?? [];
		return init?.restartCount >= 1 && init.lastState.terminated.exitCode === 3;
	});
	expect((await statusOf('again')).phase).toBe('Pending');
});

test('a program that fails waits longer each time; one that succeeds ends the pod', async () => {
	await env.apply(
		pod('crash', { containers: [shell('c', 'exit 4')] }),
		pod('job', { containers: [shell('c', 'echo done')], restartPolicy: 'OnFailure' }),
	);
	await until('it backs off', async () => {
		const { state, restartCount } = (await containerOf('crash')) ?? {};
		return state?.waiting?.reason === 'CrashLoopBackOff' && restartCount >= 1;
	});
	await until('the job is done', async () => (await statusOf('job'))?.phase === 'Succeeded');
	expect(await env.kubectl('logs', 'job')).toBe('done\n');
});

test('the end of a pod: preStop, TERM, a time to finish, and endpoints that serve on meanwhile', async () => {
	const log = `${files}/end`;
	const script = `trap 'echo term >> ${log}; sleep 1; echo gone >> ${log}; exit 0' TERM; while :; do sleep 0.1; done`;
	const lifecycle = {
		preStop: { exec: { command: ['sh', '-c', `mkdir -p ${files}; echo hook >> ${log}`] } },
	};
	await env.apply(
		pod('ends', { containers: [shell('c', script, { lifecycle })], terminationGracePeriodSeconds: 20 }),
		service('ends'),
	);
	await until('it is ready', async () => (await conditionOf('ends', 'Ready')) === 'True');
	await env.kubectl('delete', 'pod', 'ends', '--wait=false');
	await until('its endpoint terminates and serves', async () => {
		const { items } = JSON.parse(
			await env.kubectl('get', 'endpointslices', '-l', 'kubernetes.io/service-name=ends', '-o', 'json'),
		);
		const { ready, serving, terminating } = items[0]?.endpoints?.[0]?.conditions ?? {};
		return ready === false && serving === true && terminating === true;
	});
	await env.kubectl('wait', '--for=delete', 'pod/ends', '--timeout=15s');
	await env.apply(pod('reader', { containers: [shell('c', SLEEP)] }));
	await until('it is ready', async () => (await conditionOf('reader', 'Ready')) === 'True');
	expect(await exec('reader', `cat ${log}`)).toBe('hook\nterm\ngone\n');
});

test('a pod that does not listen to TERM is gone at once when it is forced', async () => {
	const script = `trap '' TERM; while :; do sleep 0.1; done`;
	await env.apply(pod('deaf', { containers: [shell('c', script)], terminationGracePeriodSeconds: 600 }));
	await until('it is ready', async () => (await conditionOf('deaf', 'Ready')) === 'True');
	await env.kubectl('delete', 'pod', 'deaf', '--wait=false');
	await env.kubectl('delete', 'pod', 'deaf', '--grace-period=0', '--force');
	await env.kubectl('wait', '--for=delete', 'pod/deaf', '--timeout=10s');
});
