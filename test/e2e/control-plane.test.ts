import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { ApiClient } from '../../standalone/cluster/api-client.ts';
import { Environment } from './support/environment.ts';
import { client, DUAL_STACK, deployment, service } from './support/objects.ts';
import { run } from './support/process.ts';
import { type StandaloneDriver, startStandalone } from './support/standalone-cluster.ts';
import { POD_ACCOUNT } from './support/trespass.ts';
import { eventually } from './support/wait.ts';

const MAIN = resolve(import.meta.dirname, '../../agent/main.ts');
const PREFIX = 'e2econtrol';

let driver: StandaloneDriver;
let env: Environment;
let backends: string[];

beforeAll(async () => {
	driver = await startStandalone(PREFIX);
	env = await Environment.open('control', driver);
	await env.apply(deployment('steady', 4), service('steady', { type: 'NodePort', ...DUAL_STACK }));
	await env.apply(client('client', env.nodes[0]!.name));
	await env.podsReady('steady', 4);
	await env.podsReady('client', 1);
	backends = await env.podNames('steady');
});
afterAll(async () => env?.[Symbol.asyncDispose]());

interface State {
	pid: number;
	port: number;
}
const readState = (): State => JSON.parse(readFileSync(join(driver.directory, 'state.json'), 'utf8'));
const isGone = (pid: number): boolean => {
	try {
		process.kill(pid, 0);
		return false;
	} catch {
		return true;
	}
};
const up = () =>
	run(process.execPath, [
		...[MAIN, 'standalone', 'up', '--nodes', '2'],
		...['--prefix', PREFIX, '--state', driver.directory],
	]);

/** A copy of a kubeconfig without its identity. */
function withoutUser(file: string): string {
	const config = parse(readFileSync(file, 'utf8'));
	config.users[0].user = {};
	writeFileSync(`${file}-anonymous`, stringify(config), { mode: 0o600 });
	return `${file}-anonymous`;
}

/**
 * Creates ConfigMaps one after the other until the API server is gone.
 * @param confirmed receives the confirmed names
 */
async function write(writer: number, confirmed: string[]): Promise<void> {
	const api = new ApiClient(driver.kubeconfig);
	for (let at = 0; ; at++) {
		const name = `w${writer}-${at}`;
		const object = { metadata: { name }, data: { at: String(at) } };
		const stored = await api.post(`/api/v1/namespaces/${env.namespace}/configmaps`, object).catch(() => {});
		if (!stored) return;
		confirmed.push(name);
	}
}

describe('kill -9 of the control plane during a stream of writes', () => {
	it('leaves every acknowledged object, no connection lost, and allocators that know what is taken (A-10)', async () => {
		const [node] = env.nodes;
		const { spec } = await env.get('service', 'steady');
		const flows = [
			{ from: 'outside' as const, name: 'outside-v4', host: node!.v4!, port: spec.ports[0].nodePort },
			{ from: 'outside' as const, name: 'outside-v6', host: node!.v6!, port: spec.ports[0].nodePort },
			{ from: { pod: 'client' }, name: 'pod-v4', host: spec.clusterIPs[0], port: 80 },
			{ from: { node: node!.name }, name: 'node-v6', host: spec.clusterIPs[1], port: 80 },
		];
		for (const { from, host, port } of flows) await env.reaches(from, { host, port }, backends);
		for (const { from, name, host, port } of flows) await (await env.prober(from)).hold(name, host, port, 20);
		const all = async () => {
			for (const { from, host, port } of flows) {
				const answers = await (await env.prober(from)).http(host, port, '/hostname', { count: 20 });
				expect(answers.filter(({ error }) => error)).toEqual([]);
			}
		};

		const before = readState();
		const copy = join(driver.directory, 'copy');
		copyFileSync(driver.kubeconfig, copy);
		const token = await env.kubectl('exec', 'client', '--', 'cat', `${POD_ACCOUNT}/token`);
		const confirmed: string[] = [];
		const writers = Array.from({ length: 4 }, (_, writer) => write(writer, confirmed));
		await all();
		await eventually('100 writes are confirmed', async () => confirmed.length > 100 || undefined);
		process.kill(before.pid, 'SIGKILL');
		await Promise.all(writers);
		await eventually('the control plane is gone', async () => isGone(before.pid) || undefined);
		await all();
		await up();
		await all();

		const { items } = await env.get('configmaps');
		const stored = new Set(items.map(({ metadata }: { metadata: { name: string } }) => metadata.name));
		expect(confirmed.filter((name) => !stored.has(name))).toEqual([]);
		expect(await env.podNames('steady')).toEqual(backends);
		for (const { from, name } of flows) {
			const report = await (await env.prober(from)).release(name);
			expect(report.lost).toEqual([]);
			expect(report.connections).toBe(20);
		}

		// The certificates are new. Old certificates and tokens of pods stay valid for the lifetime of
		// the cluster.
		expect(readFileSync(driver.kubeconfig, 'utf8')).not.toBe(readFileSync(copy, 'utf8'));
		for (const [who, ...credentials] of [
			['kubernetes-admin'],
			[`system:serviceaccount:${env.namespace}:default`, '--token', token],
		] as const) {
			const config = credentials.length > 0 ? withoutUser(copy) : copy;
			const asked = ['--kubeconfig', config, ...credentials, 'auth', 'whoami', '-o', 'json'];
			expect(JSON.parse(await run('kubectl', asked)).status.userInfo.username).toBe(who);
		}

		await env.apply(service('later', { type: 'NodePort', selector: { app: 'steady' } }));
		const { spec: later } = await env.get('service', 'later');
		expect(spec.clusterIPs).not.toContain(later.clusterIP);
		expect(later.ports[0].nodePort).not.toBe(spec.ports[0].nodePort);
		await env.reaches({ pod: 'client' }, { host: later.clusterIP, port: 80 }, backends);
		await env.kubectl('scale', 'deployment/steady', '--replicas=5');
		await env.podsReady('steady', 5);
		await env.reaches(
			'outside',
			{ host: node!.v4!, port: later.ports[0].nodePort },
			await env.podNames('steady'),
		);
	}, 120_000);
});
