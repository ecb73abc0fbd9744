import { isIPv6 } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, Environment, type Json, type Target } from './support/environment.ts';
import { client, DUAL_STACK, deployment, pod, service } from './support/objects.ts';

let env: Environment;
let backends: string[];
let spec: Json;

beforeAll(async () => {
	env = await Environment.open('traffic');
	const clients = env.nodes.map(({ name }) => client(`client-${name}`, name));
	await env.apply(deployment('echo', 4), service('echo', { type: 'NodePort', ...DUAL_STACK }), ...clients);
	await env.podsReady('echo', 4);
	for (const { name } of env.nodes) await env.podsReady(`client-${name}`, 1);
	backends = await env.podNames('echo');
	({ spec } = await env.get('service', 'echo'));
});

afterAll(async () => env?.[Symbol.asyncDispose]());

type Family = 'v4' | 'v6';
const ofFamily = (family: Family) => (address: string) => isIPv6(address) === (family === 'v6');
const clusterIP = (family: Family): string => spec.clusterIPs.find(ofFamily(family));
const nodePort = (udp: boolean): number => spec.ports[udp ? 1 : 0].nodePort;

/** The ClusterIP, and the NodePort of every node. */
const targets = (family: Family, udp: boolean): Target[] => [
	{ host: clusterIP(family), port: udp ? 90 : 80, udp },
	...env.nodes.map((node) => ({ host: node[family]!, port: nodePort(udp), udp })),
];

const CASES = (['v4', 'v6'] as const).flatMap((family) => [false, true].map((udp) => [family, udp] as const));

describe.each(CASES)('over %s, udp %s', (family, udp) => {
	it('A-70, A-71, A-11, A-97: a pod reaches all endpoints through the ClusterIP and every NodePort', async () => {
		for (const { name } of env.nodes)
			for (const target of targets(family, udp))
				await env.reaches({ pod: `client-${name}` }, target, backends);
	});

	it('A-72, A-73: a node reaches all endpoints through the ClusterIP and every NodePort', async () => {
		for (const { name } of env.nodes)
			for (const target of targets(family, udp)) await env.reaches({ node: name }, target, backends);
	});

	it('a node reaches all endpoints through the NodePort at its loopback address', async () => {
		const host = family === 'v4' ? '127.0.0.1' : '::1';
		for (const { name } of env.nodes)
			await env.reaches({ node: name }, { host, port: nodePort(udp), udp }, backends);
	});

	it('A-11: who is outside reaches all endpoints through every NodePort', async () => {
		for (const target of targets(family, udp).slice(1)) await env.reaches('outside', target, backends);
	});

	it('A-87, A-88: direct pod addresses are not disturbed', async () => {
		const { items } = JSON.parse(await env.kubectl('get', 'pods', '-l', 'app=echo', '-o', 'json'));
		for (const { metadata, status } of items) {
			const { ip } = status.podIPs.find(({ ip }: Json) => ofFamily(family)(ip));
			const target = { host: ip, port: udp ? 8081 : 8080, udp };
			await env.reaches({ node: env.nodes[0]!.name }, target, [metadata.name]);
			await env.reaches({ pod: `client-${env.nodes[0]!.name}` }, target, [metadata.name]);
		}
	});
});

describe.each(['v4', 'v6'] as const)('sources over %s', (family) => {
	it('A-06: the pod’s address stays the source through the ClusterIP, from every node', async () => {
		for (const { name } of env.nodes) {
			const prober = await env.prober({ pod: `client-${name}` });
			const { status } = await env.get('pod', `client-${name}`);
			const { ip } = status.podIPs.find(({ ip }: Json) => ofFamily(family)(ip));
			const answers = await prober.http(clusterIP(family), 80, '/clientip', { count: 16 });
			const sources = answers.map(
				({ body, error }) => body?.replace(/:\d+$/, '').replace(/[[\]]/g, '') ?? error,
			);
			expect(sources).toEqual(Array(16).fill(ip));
		}
	});

	it('A-07, A-74, A-75: a pod that is the only endpoint reaches itself', async () => {
		const name = `hairpin-${family}`;
		await env.apply(pod(name, { probe: true }), service(name, DUAL_STACK));
		await env.podsReady(name, 1);
		const { spec: own } = await env.get('service', name);
		const host = own.clusterIPs.find(ofFamily(family));
		await env.reaches({ pod: name }, { host, port: 80 }, [name]);
		await env.reaches({ pod: name }, { host, port: 90, udp: true }, [name]);
	});

	it('A-84: a large request is answered', async () => {
		const prober = await env.prober({ pod: `client-${env.nodes[0]!.name}` });
		const text = '42'.repeat(1000);
		for (const { body } of await prober.http(clusterIP(family), 80, `/echo?msg=${text}`, { count: 4 }))
			expect(body).toBe(text);
	});
});

describe('changes', () => {
	it('A-78, A-79: after one pod is deleted only the others answer, without errors', async () => {
		const name = 'shrinking';
		await env.apply(...['a', 'b', 'c'].map((id) => pod(`shrink-${id}`, { labels: { app: name } })));
		await env.apply(service(name, DUAL_STACK));
		await env.podsReady(name, 3);
		const { spec: own } = await env.get('service', name);
		const from = { pod: `client-${env.nodes[0]!.name}` };
		const all = [
			{ host: own.clusterIPs[0], port: 80 },
			{ host: own.clusterIPs[1], port: 80 },
			{ host: own.clusterIPs[0], port: 90, udp: true },
			{ host: own.clusterIPs[1], port: 90, udp: true },
		];
		for (const target of all) await env.reaches(from, target, ['shrink-a', 'shrink-b', 'shrink-c']);
		await env.kubectl('delete', 'pod', 'shrink-b');
		for (const target of all) {
			await env.reaches(from, target, ['shrink-a', 'shrink-c']);
			const answers = await ask(await env.prober(from), target, { count: 30 });
			expect(answers.filter(({ error }) => error)).toEqual([]);
		}
	});

	it('A-80: after a NodePort Service is deleted nothing answers in 10 tries', async () => {
		await env.apply(service('shortlived', { type: 'NodePort', selector: { app: 'echo' } }));
		const { spec: own } = await env.get('service', 'shortlived');
		const target = { host: env.nodes[0]!.v4!, port: own.ports[0].nodePort };
		await env.reaches('outside', target, backends);
		await env.kubectl('delete', 'service', 'shortlived');
		await env.fails('outside', target);
		const answers = await ask(await env.prober('outside'), target, { count: 10, timeoutMs: 500 });
		expect(answers.filter(({ body }) => body !== undefined)).toEqual([]);
	});
});
