import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Application, applyFile, waitForApplication } from '../../scripts/demo/application.ts';
import type { ProbeResult } from '../../scripts/demo/job.ts';
import { runProber } from '../../scripts/demo/run-prober.ts';
import { expectations } from '../../scripts/demo/targets.ts';
import { ApiClient } from '../../standalone/cluster/api-client.ts';
import { down } from '../../standalone/cluster/down.ts';
import { readKubeconfig } from '../../standalone/cluster/kubeconfig.ts';
import { type ClusterOptions, DEFAULT_ZONES } from '../../standalone/cluster/options.ts';
import { pathsOf } from '../../standalone/cluster/paths.ts';
import { readState } from '../../standalone/cluster/state.ts';
import { up } from '../../standalone/cluster/up.ts';

const directory = mkdtempSync(join(tmpdir(), 'mlnm-'));
const paths = pathsOf(directory);
const options: ClusterOptions = {
	prefix: 'mlnm',
	nodes: 1,
	zones: DEFAULT_ZONES,
	families: ['v4', 'v6'],
	directory,
	port: 0,
	network: true,
	agents: true,
};
const example = fileURLToPath(new URL('../../deploy/examples/demo.yaml', import.meta.url));
const api = new ApiClient(paths.kubeconfig);
const never = new AbortController().signal;
let application: Application;

/** Stores an object that validation would reject. */
function store(path: string, object: object): Promise<number> {
	const headers = { 'content-type': 'application/json', 'x-maglane-unsafe': 'yes' };
	const { server, authority, identity } = readKubeconfig(paths.kubeconfig);
	return new Promise((resolve, reject) => {
		const call = request(
			new URL(`${server}${path}`),
			{ method: 'POST', headers, ca: authority, ...identity },
			(response) => {
				response.resume();
				response.on('end', () => resolve(response.statusCode ?? 0));
			},
		);
		call.once('error', reject);
		call.end(JSON.stringify(object));
	});
}

/**
 * Waits until the agent of node1 has logged `count` problems of an object.
 * @returns the problems
 */
async function problems(object: string, count: number): Promise<Record<string, string>[]> {
	for (let tries = 0; ; tries++) {
		const lines = readFileSync(join(directory, 'logs/agent-node1.log'), 'utf8').split('\n');
		const found = lines
			.filter((line) => line.startsWith('{'))
			.map((line) => JSON.parse(line))
			.filter((line) => line.msg === 'object.problem' && line.object.endsWith(object));
		if (found.length >= count || tries === 50) return found;
		await sleep(100);
	}
}

beforeAll(async () => {
	await down(options);
	await up(options, () => {});
	await applyFile(api, example);
	application = await waitForApplication(api, 20_000, never);
});
afterAll(async () => {
	await down(options);
	rmSync(directory, { recursive: true, force: true });
});

test('a malformed Service is named with its fields, and the part of it that is right is served', async () => {
	const service = {
		apiVersion: 'v1',
		kind: 'Service',
		metadata: { name: 'broken', namespace: 'default' },
		spec: {
			type: 'ClusterIP',
			clusterIP: '10.96.77.300',
			clusterIPs: ['10.96.77.300', '10.96.77.3'],
			ipFamilies: ['IPv4', 'IPv5'],
			selector: { app: 'web' },
			ports: [
				{ name: 'bad', port: 70000, targetPort: 8080, protocol: 'TCP' },
				{ name: 'good', port: 80, targetPort: 8080, protocol: 'TCP' },
			],
		},
	};
	expect(await store('/api/v1/namespaces/default/services', service)).toBe(201);
	const fields = (await problems('default/broken', 3)).map(({ field }) => field);
	expect(fields).toContain('spec.clusterIPs[0]');
	expect(fields).toContain('spec.ports[0].port');
	expect(fields).toContain('spec.ipFamilies[1]');
});

test('a malformed EndpointSlice is named with its fields', async () => {
	const slice = {
		apiVersion: 'discovery.k8s.io/v1',
		kind: 'EndpointSlice',
		metadata: {
			name: 'broken-slice',
			namespace: 'default',
			labels: { 'kubernetes.io/service-name': 'web' },
		},
		addressType: 'IPv4',
		endpoints: [{ addresses: ['10.244.1.999'] }, { addresses: ['127.0.0.1'] }],
		ports: [{ name: 'http', port: 99999, protocol: 'TCP' }],
	};
	expect(await store('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', slice)).toBe(201);
	const found = await problems('default/broken-slice', 3);
	const fields = found.map(({ field }) => field);
	expect(fields).toContain('endpoints[0].addresses[0]');
	expect(fields).toContain('endpoints[1].addresses[0]');
	expect(fields).toContain('ports[0].port');
	for (const { message } of found) expect(message).toBeTruthy();
});

test('the other Services are served as before', async () => {
	const state = readState(paths.state)!;
	const { services, nodes } = application;
	const targets = expectations(services, nodes).filter(({ from }) => from === 'host');
	expect(targets.length).toBeGreaterThan(8);
	const results: ProbeResult[] = [];
	const job = { kind: 'probe', targets, requests: 10, timeoutMs: 2000 } as const;
	const target = { target: 'node1', state, directory };
	await runProber(target, job, (result) => void results.push(result), never);
	expect(results.filter(({ answered }) => answered < 10)).toEqual([]);
	expect(results).toHaveLength(targets.length);
});
