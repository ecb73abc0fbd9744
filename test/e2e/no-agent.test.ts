/**
 * Tests pods of a node without a running agent. The kernel state serves existing pods and new ones.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dig } from './support/dig.ts';
import { Environment, type Json } from './support/environment.ts';
import { DUAL_STACK, deployment, pod, service } from './support/objects.ts';
import { TCP_AND_UDP } from './support/service-view.ts';

const NODE = 'node1';
const NEW = 'starts-now';

let env: Environment;
/** Resumes the agent. */
let thaw: (() => void) | undefined;

beforeAll(async () => {
	env = await Environment.shared('no-agent');
	await env.apply(
		deployment('web', 2),
		service('web', DUAL_STACK),
		pod('was-there', { node: NODE, probe: true }),
	);
	await env.podsReady('web', 2);
	await env.podsReady('was-there', 1);
	thaw = await env.driver.freezeAgent?.(NODE);
	await env.apply(pod(NEW, { node: NODE, probe: true }));
	await env.podsReady(NEW, 1);
});

afterAll(async () => {
	thaw?.();
	if (thaw) await env.driver.agentReady(NODE);
	await env?.[Symbol.asyncDispose]();
});

describe.each(['was-there', NEW])('while the agent is stopped, a pod that %s', (name) => {
	it('reaches Services by TCP and UDP, and both families', async ({ skip }) => {
		if (!thaw) skip('this cluster does not let us stop an agent');
		const backends = await env.podNames('web');
		const view = await env.service('web');
		for (const udp of TCP_AND_UDP)
			for (const target of view.clusterIPs(udp)) await env.reaches({ pod: name }, target, backends);
	});

	it('resolves names by both families and transports', async ({ skip }) => {
		if (!thaw) skip('this cluster does not let us stop an agent');
		const { items } = JSON.parse(await env.kubectl('get', 'services', '-n', 'kube-system', '-o', 'json'));
		const { clusterIPs } = items.find(({ metadata }: Json) => metadata.name === 'kube-dns').spec;
		const { clusterIP } = (await env.get('service', 'web')).spec;
		expect(clusterIPs.length).toBeGreaterThan(0);
		for (const server of clusterIPs as string[])
			for (const way of ['+notcp', '+tcp']) {
				const answer = await dig(env, name, `@${server}`, way, `web.${env.namespace}.svc.cluster.local`);
				expect(answer, `${server} ${way}`).toMatchObject({ status: 'NOERROR', data: [clusterIP] });
			}
	});

	it('knows the names of Services that came meanwhile', async ({ skip }) => {
		if (!thaw) skip('this cluster does not let us stop an agent');
		await env.apply(service('came-later', { selector: { app: 'web' } }));
		const { clusterIP } = (await env.get('service', 'came-later')).spec;
		const answer = await dig(env, name, `came-later.${env.namespace}.svc.cluster.local`);
		expect(answer).toMatchObject({ status: 'NOERROR', data: [clusterIP] });
	});
});
