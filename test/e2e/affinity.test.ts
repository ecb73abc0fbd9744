import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, Environment, type From, type Target } from './support/environment.ts';
import { DUAL_STACK, deployment, service } from './support/objects.ts';
import { eventually } from './support/wait.ts';

const FROM_CLIENT = { sessionAffinity: 'ClientIP' };
const within = (timeoutSeconds: number) => ({
	...FROM_CLIENT,
	sessionAffinityConfig: { clientIP: { timeoutSeconds } },
});

let env: Environment;
let inside: From;
let backends: string[];

beforeAll(async () => {
	env = await Environment.shared('affinity');
	[inside] = (await env.clients()) as [From];
	await env.apply(deployment('three', 3));
	await env.podsReady('three', 3);
	backends = await env.podNames('three');
});

afterAll(async () => env?.[Symbol.asyncDispose]());

async function hostnames(from: From, target: Target, count: number): Promise<string[]> {
	const answers = await ask(await env.prober(from), target, { count });
	expect(answers.filter(({ error }) => error)).toEqual([]);
	return [...new Set(answers.map(({ body }) => body!))];
}

/** Waits until all requests reach the same backend. @returns its name */
async function sticks(from: From, target: Target): Promise<string> {
	const { value } = await eventually(`requests to ${target.host} stay with one backend`, async () => {
		const seen = await hostnames(from, target, 16);
		return seen.length === 1 ? seen[0] : undefined;
	});
	for (let i = 0; i < 3; i++) expect(await hostnames(from, target, 10)).toEqual([value]);
	return value;
}

const apply = async (name: string, spec: object) => {
	const common = { type: 'NodePort', selector: { app: 'three' }, ...DUAL_STACK };
	await env.apply(service(name, { ...common, ...spec }));
	return env.service(name);
};

describe('sessionAffinity ClientIP', () => {
	it('all requests of a pod to a ClusterIP go to one backend, TCP and UDP, both families (A-28, A-82, R-A5)', async () => {
		const view = await apply('sticky', FROM_CLIENT);
		for (const target of [...view.clusterIPs(), ...view.clusterIPs(true)]) {
			await sticks(inside, target);
			await sticks({ node: env.nodes[1]!.name }, target);
		}
	});

	it('all requests to a NodePort go to one backend, from outside and from a pod, both families (A-29, R-A5)', async () => {
		const view = await env.service('sticky');
		for (const target of [...view.nodePorts(env.nodes[0]!), ...view.nodePorts(env.nodes[0]!, true)]) {
			await sticks('outside', target);
			await sticks(inside, target);
		}
	});

	it('a client is sticky while it keeps asking, and spread again after the time-out (A-30, R-A5)', async () => {
		const timeoutSeconds = 2;
		const view = await apply('short', within(timeoutSeconds));
		const lasting = async (target: Target) => {
			const first = await sticks(inside, target);
			// Keep the affinity in use for longer than its timeout
			for (let i = 0; i < 6; i++) {
				await sleep(500);
				expect(await hostnames(inside, target, 1)).toEqual([first]);
			}
			const seen = new Set([first]);
			for (let i = 0; i < 10 && seen.size === 1; i++) {
				await sleep(timeoutSeconds * 1000 + 500);
				for (const hostname of await hostnames(inside, target, 1)) seen.add(hostname);
			}
			expect(seen.size).toBeGreaterThan(1);
		};
		await Promise.all(view.clusterIPs().map(lasting));
	}, 60_000);

	it('switched off, requests spread at once; switched on, they stick again: ClusterIP (A-32, R-A5)', async () => {
		const view = await apply('switched', FROM_CLIENT);
		for (const target of view.clusterIPs()) await sticks(inside, target);
		await env.patch('service', 'switched', {
			spec: { sessionAffinity: 'None', sessionAffinityConfig: null },
		});
		for (const target of view.clusterIPs()) await env.reaches(inside, target, backends);
		await env.patch('service', 'switched', { spec: FROM_CLIENT });
		for (const target of view.clusterIPs()) await sticks(inside, target);
	});

	it('switched off, requests spread at once; switched on, they stick again: NodePort (A-33, R-A5)', async () => {
		const view = await apply('switched', FROM_CLIENT);
		const targets = env.nodes.flatMap((node) => view.nodePorts(node));
		for (const target of targets) await sticks('outside', target);
		await env.patch('service', 'switched', {
			spec: { sessionAffinity: 'None', sessionAffinityConfig: null },
		});
		for (const target of targets) await env.reaches('outside', target, backends);
		await env.patch('service', 'switched', { spec: FROM_CLIENT });
		for (const target of targets) await sticks('outside', target);
	});

	it('a backend that is gone is replaced, and the client stays with the new one (R-A5)', async () => {
		const view = await apply('replaced', FROM_CLIENT);
		const [target] = view.clusterIPs() as [Target];
		const first = await sticks(inside, target);
		await env.kubectl('delete', 'pod', first, '--grace-period=0', '--force');
		await env.podsReady('three', 3);
		expect(await sticks(inside, target)).not.toBe(first);
	});
});
