import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Application, applyFile, waitForApplication } from '../../scripts/demo/application.ts';
import type { FollowLine, ProbeResult } from '../../scripts/demo/job.ts';
import { runProber } from '../../scripts/demo/run-prober.ts';
import { type Expectation, expectations, type Vantage } from '../../scripts/demo/targets.ts';
import { ApiClient } from '../../standalone/cluster/api-client.ts';
import { down } from '../../standalone/cluster/down.ts';
import { BPFFS } from '../../standalone/cluster/mounts.ts';
import { type ClusterOptions, DEFAULT_ZONES } from '../../standalone/cluster/options.ts';
import { pathsOf } from '../../standalone/cluster/paths.ts';
import type { Report } from '../../standalone/cluster/report.ts';
import { type ClusterState, readState } from '../../standalone/cluster/state.ts';
import { remains } from '../../standalone/cluster/sweep.ts';
import { getJson } from '../../standalone/cluster/target.ts';
import { up } from '../../standalone/cluster/up.ts';

const directory = mkdtempSync(join(tmpdir(), 'mlna-'));
const paths = pathsOf(directory);
const options: ClusterOptions = {
	prefix: 'mlna',
	nodes: 2,
	zones: DEFAULT_ZONES,
	families: ['v4', 'v6'],
	directory,
	port: 0,
	network: true,
	agents: true,
};
const example = fileURLToPath(new URL('../../deploy/examples/demo.yaml', import.meta.url));
const never = new AbortController().signal;
const api = new ApiClient(paths.kubeconfig);
let state: ClusterState;
let application: Application;
let expected: Expectation[];

beforeAll(async () => {
	await down(options);
	await up(options, () => {});
	state = readState(paths.state)!;
	await applyFile(api, example);
	application = await waitForApplication(api, 20_000, never);
	expected = expectations(application.services, application.nodes);
});
afterAll(async () => {
	await down(options);
	rmSync(directory, { recursive: true, force: true });
});

const agentOf = async (node: string) => {
	const report = await getJson<Report>(paths.controlSocket, '/status');
	return report?.nodes.find(({ name }) => name === node)?.agent;
};

test.each([
	['pod', 16],
	['host', 20],
	['outside', 8],
] as const)('every address of the example answers from the %s', async (from: Vantage, count: number) => {
	const pod = [...application.pods].find((name) => name.startsWith('web-'))!;
	const target = { pod, host: 'node1', outside: 'client' }[from];
	const targets = expected.filter((one) => one.from === from);
	expect(targets).toHaveLength(count);
	const results: ProbeResult[] = [];
	const job = { kind: 'probe', targets, requests: 20, timeoutMs: 2000 } as const;
	await runProber({ target, state, directory }, job, (result) => void results.push(result), never);
	expect(results.filter(({ answered }) => answered < 20)).toEqual([]);
	expect(results).toHaveLength(count);
	for (const { backends } of results) {
		for (const name of Object.keys(backends)) expect(application.pods).toContain(name);
		expect(Object.keys(backends).length).toBeGreaterThan(1);
	}
});

test('an agent that is killed is started again, and no request fails meanwhile', async () => {
	const before = await agentOf('node1');
	const target = expected.find(
		(one) => one.from === 'outside' && one.protocol === 'TCP' && one.way === 'NodePort node1',
	)!;
	const lines: FollowLine[] = [];
	const job = { kind: 'follow', target, durationMs: 3000, timeoutMs: 1000 } as const;
	const following = runProber(
		{ target: 'client', state, directory },
		job,
		(line) => void lines.push(line),
		never,
	);
	await sleep(300);
	process.kill(before!.pid!, 'SIGKILL');
	await following;
	expect(lines.length).toBeGreaterThan(100);
	expect(lines.filter(({ error }) => error !== undefined)).toEqual([]);
	await expect.poll(async () => (await agentOf('node1'))?.ready, { timeout: 10_000 }).toBe(true);
	expect(await agentOf('node1')).toMatchObject({ restarts: before!.restarts + 1 });
});

test('down() after kill -9 of the control plane removes agents and pins', async () => {
	expect(existsSync(join(BPFFS, 'mlna', 'node1'))).toBe(true);
	process.kill(state.pid, 'SIGKILL');
	const swept = await down(options);
	expect(swept.pins).toBeGreaterThan(0);
	expect(swept.processes).toBeGreaterThanOrEqual(2);
	expect(remains('mlna')).toEqual([]);
});
