import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment, type Json, type Target } from './support/environment.ts';
import { client, deployment, pod, service } from './support/objects.ts';
import { eventually } from './support/wait.ts';

let env: Environment;

beforeAll(async () => {
	env = await Environment.open('services');
	await env.apply(client('client'));
	await env.podsReady('client', 1);
});

afterAll(async () => env?.[Symbol.asyncDispose]());

const clusterIP = async (name: string): Promise<string> => (await env.get('service', name)).spec.clusterIP;

/** `pod:port` of the Endpoints and of the slices, which must agree. */
async function endpoints(name: string): Promise<string[]> {
	const { subsets = [] } = await env.get('endpoints', name);
	const fromEndpoints = subsets.flatMap(({ addresses = [], ports = [] }: Json) =>
		addresses.flatMap((address: Json) => ports.map(({ port }: Json) => `${address.targetRef.name}:${port}`)),
	);
	const { items } = JSON.parse(
		await env.kubectl('get', 'endpointslices', '-l', `kubernetes.io/service-name=${name}`, '-o', 'json'),
	);
	const fromSlices = items.flatMap(({ endpoints: list, ports }: Json) =>
		(list ?? [])
			.filter(({ conditions }: Json) => conditions.ready)
			.flatMap(({ targetRef }: Json) => (ports ?? []).map(({ port }: Json) => `${targetRef.name}:${port}`)),
	);
	expect(fromSlices.sort()).toEqual(fromEndpoints.sort());
	return fromEndpoints;
}

const hasEndpoints = (name: string, wanted: string[]) =>
	eventually(`${name} has the endpoints ${wanted}`, async () => {
		const found = await endpoints(name);
		if (found.join() === wanted.toSorted().join()) return true;
		throw new Error(`It has ${found}`);
	});

const namesOf = (app: string) => env.podNames(app);

describe('Services', () => {
	it('A-01, A-02: default/kubernetes is there, with port https 443', async () => {
		const { items } = JSON.parse(await env.kubectl('get', 'services', '--all-namespaces', '-o', 'json'));
		const master = items.find(
			({ metadata }: Json) => metadata.namespace === 'default' && metadata.name === 'kubernetes',
		);
		expect(master.spec.ports).toMatchObject([{ name: 'https', port: 443, protocol: 'TCP' }]);
	});

	it('A-03: a basic endpoint follows its pods', async () => {
		await env.apply(service('basic'));
		await hasEndpoints('basic', []);
		const target = { host: await clusterIP('basic'), port: 80 };
		await env.fails({ pod: 'client' }, target, 'ECONNREFUSED');
		const options = { labels: { app: 'basic' } };
		const steps: [string[], () => Promise<unknown>][] = [
			[['pod1'], () => env.apply(pod('pod1', options))],
			[['pod1', 'pod2'], () => env.apply(pod('pod2', options))],
			[['pod2'], () => env.kubectl('delete', 'pod', 'pod1')],
		];
		for (const [pods, act] of steps) {
			await act();
			await hasEndpoints(
				'basic',
				pods.flatMap((name) => [`${name}:8080`, `${name}:8081`]),
			);
			await env.reaches({ pod: 'client' }, target, pods);
		}
		await env.kubectl('delete', 'pod', 'pod2');
		await hasEndpoints('basic', []);
		await env.fails({ pod: 'client' }, target, 'ECONNREFUSED');
	});

	it('A-04: ports reach the pods that have their named target port', async () => {
		const ports = [
			{ name: 'portname1', port: 80, targetPort: 'svc1' },
			{ name: 'portname2', port: 81, targetPort: 'svc2' },
		];
		await env.apply(service('multiport', { ports }));
		const labels = { app: 'multiport' };
		await env.apply(pod('multi1', { labels, http: 100, names: { svc1: 100 } }));
		await hasEndpoints('multiport', ['multi1:100']);
		await env.apply(pod('multi2', { labels, http: 101, names: { svc2: 101 } }));
		await hasEndpoints('multiport', ['multi1:100', 'multi2:101']);
		const host = await clusterIP('multiport');
		await env.reaches({ pod: 'client' }, { host, port: 80 }, ['multi1']);
		await env.reaches({ pod: 'client' }, { host, port: 81 }, ['multi2']);
		await env.kubectl('delete', 'pod', 'multi1');
		await hasEndpoints('multiport', ['multi2:101']);
		await env.fails({ pod: 'client' }, { host, port: 80 }, 'ECONNREFUSED');
	});

	it('A-08: one Service goes and another comes, a third one is not disturbed', async () => {
		await env.apply(deployment('up1', 3), deployment('up2', 3), service('up1'), service('up2'));
		await env.podsReady('up1', 3);
		await env.podsReady('up2', 3);
		const [one, two]: Target[] = [
			{ host: await clusterIP('up1'), port: 80 },
			{ host: await clusterIP('up2'), port: 80 },
		];
		await env.reaches({ pod: 'client' }, one!, await namesOf('up1'));
		await env.reaches({ pod: 'client' }, two!, await namesOf('up2'));
		await env.kubectl('delete', 'service', 'up1');
		await env.fails({ pod: 'client' }, one!);
		await env.reaches({ pod: 'client' }, two!, await namesOf('up2'));
		await env.apply(service('up3', { selector: { app: 'up1' } }));
		const three = { host: await clusterIP('up3'), port: 80 };
		expect(three.host).not.toBe(two!.host);
		await env.reaches({ pod: 'client' }, three, await namesOf('up1'));
	});

	it('A-26: a connection to a Service without endpoints is refused, not left to time out', async () => {
		await env.apply(service('lonely', { type: 'NodePort' }));
		const { spec } = await env.get('service', 'lonely');
		await env.fails({ pod: 'client' }, { host: spec.clusterIP, port: 80 }, 'ECONNREFUSED');
		await env.fails({ pod: 'client' }, { host: spec.clusterIP, port: 90, udp: true }, 'ECONNREFUSED');
		const node = { host: env.nodes[0]!.v4!, port: spec.ports[0].nodePort };
		await env.fails('outside', node, 'ECONNREFUSED');
	});
});

describe('NodePort allocation', () => {
	const nodePort = (name: string, port: number) =>
		service(name, {
			type: 'NodePort',
			ports: [{ name: 'http', port: 80, targetPort: 8080, nodePort: port }],
		});

	it('A-18, A-20: a port is one Service’s only, and free again when that is deleted', async () => {
		await env.apply(nodePort('first', 30500));
		await expect(env.apply(nodePort('second', 30500))).rejects.toThrow(
			/30500.*provided port is already allocated/,
		);
		await env.kubectl('delete', 'service', 'first');
		await env.apply(nodePort('second', 30500));
		await env.kubectl('delete', 'service', 'second');
		await env.fails('outside', { host: env.nodes[0]!.v4!, port: 30500 });
	});

	it('A-19: a port out of range is refused on create and update', async () => {
		const refused = /provided port is not in the valid range/;
		await expect(env.apply(nodePort('outside-range', 40000))).rejects.toThrow(refused);
		await env.apply(nodePort('within-range', 30501));
		await expect(env.apply(nodePort('within-range', 29999))).rejects.toThrow(refused);
		await env.kubectl('delete', 'service', 'within-range');
	});
});
