import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment, type Json } from './support/environment.ts';
import { client, deployment, service } from './support/objects.ts';
import { startStandalone } from './support/standalone-cluster.ts';

/**
 * Tests clusters whose primary family is IPv6. Other files use dual-stack clusters with IPv4 first.
 */
describe.each([
	['v6', 'e2efamsix', ['IPv6']],
	['v6,v4', 'e2efamboth', ['IPv6', 'IPv4']],
])('a cluster of %s', (families, prefix, expected) => {
	let env: Environment;
	let backends: string[];

	beforeAll(async () => {
		env = await Environment.open('families', await startStandalone(prefix, '--families', families));
		await env.apply(
			deployment('web', 2),
			service('web', { type: 'NodePort', ipFamilyPolicy: 'PreferDualStack' }),
		);
		await env.apply(client('client', env.nodes[0]!.name));
		await env.podsReady('web', 2);
		await env.podsReady('client', 1);
		backends = await env.podNames('web');
	});
	afterAll(async () => env?.[Symbol.asyncDispose]());

	it('gives a Service addresses of its families in that order, and serves all of them', async () => {
		const { spec } = await env.get('service', 'web');
		expect(spec.ipFamilies).toEqual(expected);
		expect(spec.clusterIPs).toHaveLength(expected.length);
		expect(spec.clusterIP).toMatch(/^fd00:10:96::/);
		const { podIPs, podIP } = (await env.get('pod', backends[0])).status;
		expect(podIPs.map(({ ip }: Json) => (ip.includes(':') ? 'IPv6' : 'IPv4'))).toEqual(expected);
		expect(podIP).toBe(podIPs[0].ip);
		for (const host of spec.clusterIPs) {
			await env.reaches({ pod: 'client' }, { host, port: 80 }, backends);
			await env.reaches({ node: env.nodes[0]!.name }, { host, port: 90, udp: true }, backends);
		}
		for (const { v4, v6 } of env.nodes) {
			expect(v4 === undefined).toBe(!expected.includes('IPv4'));
			for (const host of [v4, v6])
				if (host) await env.reaches('outside', { host, port: spec.ports[0].nodePort }, backends);
		}
	}, 60_000);
});
