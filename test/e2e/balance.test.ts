import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment } from './support/environment.ts';
import { DUAL_STACK, deployment, service } from './support/objects.ts';

const BACKENDS = 10;

let env: Environment;
let tcp: number;
let udp: number;

beforeAll(async () => {
	env = await Environment.open('balance');
	await env.apply(deployment('many', BACKENDS), service('many', { type: 'NodePort', ...DUAL_STACK }));
	await env.podsReady('many', BACKENDS);
	const { spec } = await env.get('service', 'many');
	[tcp, udp] = spec.ports.map(({ nodePort }: { nodePort: number }) => nodePort);
	const names = await env.podNames('many');
	for (const { v4, v6 } of env.nodes)
		for (const host of [v4!, v6!])
			for (const target of [
				{ host, port: tcp },
				{ host, port: udp, udp: true },
			])
				await env.reaches('outside', target, names);
});

afterAll(async () => env?.[Symbol.asyncDispose]());

/**
 * The tests use the upper half of the kernel's ephemeral range, so that fixed ports rarely collide
 * with its own.
 */
const ports = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

describe('balance over 10 backends', () => {
	it('10 000 connections to a NodePort give each backend 1000 ± 15 %', async () => {
		const prober = await env.prober('outside');
		const answers = await prober.http(env.nodes[0]!.v4!, tcp, '/hostname', { count: 10_000, parallel: 16 });
		expect(answers.filter(({ error }) => error)).toEqual([]);
		const counts = [...Map.groupBy(answers, ({ body }) => body).values()].map(({ length }) => length);
		expect(counts).toHaveLength(BACKENDS);
		for (const count of counts) {
			expect(count).toBeGreaterThanOrEqual(850);
			expect(count).toBeLessThanOrEqual(1150);
		}
	}, 120_000);

	it.each(['v4', 'v6'] as const)(
		'the same client port over %s reaches the same backend through every node',
		async (family) => {
			const prober = await env.prober('outside');
			const localPorts = ports(20_000, 300);
			const options = { count: localPorts.length, localPorts, timeoutMs: 3000 };
			const chosen: (string | undefined)[][] = [];
			for (const node of env.nodes) {
				const overTcp = await prober.http(node[family]!, tcp, '/hostname', options);
				const overUdp = await prober.udp(node[family]!, udp, 'hostname', options);
				expect([...overTcp, ...overUdp].filter(({ error }) => error)).toEqual([]);
				chosen.push([...overTcp, ...overUdp].map(({ body }) => body));
			}
			expect(new Set(chosen[0])).toHaveProperty('size', BACKENDS);
			for (const other of chosen.slice(1)) expect(other).toEqual(chosen[0]);
		},
	);

	it('one backend less moves at most 1.5 % of the others’ clients', async () => {
		const prober = await env.prober('outside');
		const localPorts = ports(22_000, 4000);
		const options = { count: localPorts.length, localPorts, timeoutMs: 3000 };
		// Each node has its own connections, so every client port is new to the second node.
		const before = await prober.udp(env.nodes[0]!.v4!, udp, 'hostname', options);
		await env.kubectl('scale', 'deployment/many', '--replicas', String(BACKENDS - 1));
		await env.podsReady('many', BACKENDS - 1);
		const names = await env.podNames('many');
		const left = new Set(names);
		await env.reaches('outside', { host: env.nodes[1]!.v4!, port: udp, udp: true }, [...left]);
		const after = await prober.udp(env.nodes[1]!.v4!, udp, 'hostname', options);
		expect([...before, ...after].filter(({ error }) => error)).toEqual([]);
		const stayed = before.map(({ body }, i) => [body, after[i]!.body]).filter(([was]) => left.has(was!));
		const moved = stayed.filter(([was, is]) => was !== is).length;
		expect(stayed.length).toBeGreaterThan(0.8 * localPorts.length);
		expect(moved / stayed.length).toBeLessThanOrEqual(0.015);
	}, 120_000);
});
