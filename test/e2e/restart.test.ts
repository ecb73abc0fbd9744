import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment } from './support/environment.ts';
import { client, DUAL_STACK, deployment, service } from './support/objects.ts';

let env: Environment;
let backends: string[];

beforeAll(async () => {
	env = await Environment.open('restart');
	const [node] = env.nodes;
	await env.apply(deployment('steady', 4), service('steady', { type: 'NodePort', ...DUAL_STACK }));
	await env.apply(client('client', node!.name));
	await env.podsReady('steady', 4);
	await env.podsReady('client', 1);
	backends = await env.podNames('steady');
});

afterAll(async () => env?.[Symbol.asyncDispose]());

/** Counts the entries that the agent of the node has written since its start. */
async function mapWrites(node: string): Promise<number> {
	const [answer] = await (await env.prober({ node })).http('127.0.0.1', 10249, '/metrics');
	expect(answer).toMatchObject({ status: 200 });
	const syncs = /^kubeproxy_sync_full_proxy_rules_duration_seconds_count\S* (\d+)/m.exec(answer!.body ?? '');
	expect(Number(syncs?.[1])).toBeGreaterThan(0);
	const lines = answer!.body!.matchAll(/^maglane_map_writes_total\S* (\d+)/gm);
	return [...lines].reduce((total, [, count]) => total + Number(count), 0);
}

describe('kill -9 of an agent', () => {
	it('loses no connection, new ones work meanwhile and after, nothing is written anew, new Services work too (A-09)', async () => {
		const [node] = env.nodes;
		const { spec } = await env.get('service', 'steady');
		const nodePort = spec.ports[0].nodePort;
		const flows = [
			{ from: 'outside' as const, name: 'outside-v4', host: node!.v4!, port: nodePort },
			{ from: 'outside' as const, name: 'outside-v6', host: node!.v6!, port: nodePort },
			{ from: { pod: 'client' }, name: 'pod-v4', host: spec.clusterIPs[0], port: 80 },
			{ from: { pod: 'client' }, name: 'pod-v6', host: spec.clusterIPs[1], port: 80 },
			{ from: { node: node!.name }, name: 'node-v4', host: spec.clusterIPs[0], port: 80 },
		];
		for (const { from, host, port } of flows) await env.reaches(from, { host, port }, backends);
		for (const { from, name, host, port } of flows) await (await env.prober(from)).hold(name, host, port, 20);

		await env.driver.killAgent(node!.name);
		for (const { from, host, port } of flows) {
			const answers = await (await env.prober(from)).http(host, port, '/hostname', { count: 20 });
			expect(answers.filter(({ error }) => error)).toEqual([]);
		}
		await env.driver.agentReady(node!.name);
		expect(await mapWrites(node!.name)).toBe(0);
		for (const { from, host, port } of flows) await env.reaches(from, { host, port }, backends);

		for (const { from, name } of flows) {
			const report = await (await env.prober(from)).release(name);
			expect(report.lost).toEqual([]);
			expect(report.connections).toBe(20);
			expect(report.requests).toBeGreaterThan(100);
		}
		await env.apply(service('later', { selector: { app: 'steady' } }));
		const { spec: later } = await env.get('service', 'later');
		await env.reaches({ pod: 'client' }, { host: later.clusterIP, port: 80 }, backends);
	}, 120_000);
});
