import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment, type Json } from './support/environment.ts';
import { client } from './support/objects.ts';
import { eventually } from './support/wait.ts';

/** From GoogleCloudPlatform/microservices-demo (Apache-2.0), unmodified. */
const FILE = join(import.meta.dirname, 'manifests/microservices-demo.yaml');

let env: Environment;

beforeAll(async () => {
	env = await Environment.open('manifests');
	await env.apply(client('client'));
	await env.podsReady('client', 1);
	await env.applyFile(FILE);
});

afterAll(async () => env?.[Symbol.asyncDispose]());

const services = async (): Promise<Json[]> => (await env.get('services')).items;

describe('microservices-demo', () => {
	it('gives 12 Services with addresses and endpoints', async () => {
		const all = await services();
		expect(all).toHaveLength(12);
		for (const { spec } of all) expect(spec.clusterIP).toMatch(/^[\d.]+$/);
		await eventually(
			'every Service has endpoints',
			async () => {
				const { items } = await env.get('endpoints');
				const filled = items.filter(({ subsets }: Json) => subsets?.[0]?.addresses?.length > 0);
				return filled.length === 12 ? true : undefined;
			},
			60_000,
		);
	});

	it('from a pod every ClusterIP answers on every port', async () => {
		const prober = await env.prober({ pod: 'client' });
		for (const { metadata, spec } of await services())
			for (const { port } of spec.ports)
				await eventually(`${metadata.name}:${port} answers`, async () => {
					const answers = await prober.http(spec.clusterIP, port, '/hostname', { count: 4 });
					return answers.every(({ error }) => !error || connected(error)) ? true : undefined;
				});
	});

	it('from outside the NodePort of frontend-external answers on every node', async () => {
		const { spec } = await env.get('service', 'frontend-external');
		const names = await env.podNames('frontend');
		for (const { v4 } of env.nodes) {
			const target = { host: v4!, port: spec.ports[0].nodePort };
			if (env.driver.kind === 'standalone') await env.reaches('outside', target, names);
			else
				expect(
					(await (await env.prober('outside')).http(target.host, target.port, '/'))[0]!.error,
				).toBeUndefined();
		}
	});
});

/** The gRPC and redis servers of a real application accept the connection and do not speak HTTP. */
function connected(error: string): boolean {
	return env.driver.kind === 'real' && (error === 'closed' || error === 'timeout');
}
