import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Sink } from '../../agent/base/sink.ts';
import { type ApiSource, type EndpointsSource, watchApi } from '../../agent/kube/source.ts';
import { openTransport, type Transport } from '../../agent/kube/transport.ts';
import { silent } from '../support/log.ts';
import { FakeApiServer, FakeClock, list, object, raw, status } from './kube-fake-server.ts';

const DISCOVERY = '/apis/discovery.k8s.io/v1';
const NETWORKING = '/apis/networking.k8s.io/v1';
const SLICES = `${DISCOVERY}/endpointslices`;
const ENDPOINTS = '/api/v1/endpoints';

class Names implements Sink {
	readonly calls: string[] = [];
	upsert(key: string): void {
		this.calls.push(`upsert ${key}`);
	}
	remove(key: string): void {
		this.calls.push(`remove ${key}`);
	}
	listed(): void {
		this.calls.push('listed');
	}
}

describe('watchApi()', () => {
	let server: FakeApiServer;
	let transport: Transport;
	let source: ApiSource;
	const stop = { signal: new AbortController() };
	let chosen: EndpointsSource[];
	let sinks: { services: Names; endpoints: Names; node: Names; namespaces?: Names };
	let allServices: boolean;

	async function start(endpointsSource: EndpointsSource | 'auto', serviceCidrs?: Sink): Promise<void> {
		const url = await server.listen();
		stop.signal = new AbortController();
		transport = openTransport({
			server: url,
			options: async () => ({ headers: { authorization: 'Bearer t0' } }),
		});
		source = watchApi({
			transport,
			nodeName: 'node1',
			endpointsSource,
			sinks: (endpoints) => {
				chosen.push(endpoints);
				return { ...sinks, allServices };
			},
			serviceCidrs,
			log: silent,
			signal: stop.signal.signal,
			clock: new FakeClock(),
			random: () => 0,
		});
	}

	beforeEach(() => {
		server = new FakeApiServer();
		chosen = [];
		allServices = false;
		sinks = { services: new Names(), endpoints: new Names(), node: new Names() };
		server.script('/api/v1/services', list('1', [object('svc', 1)]));
		server.script(SLICES, list('2', [object('svc-abc', 2)]));
		server.script(ENDPOINTS, list('3', [object('svc', 3)]));
		server.script('/api/v1/nodes', list('4', [{ metadata: { name: 'node1', resourceVersion: '4' } }]));
	});

	afterEach(async () => {
		stop.signal.abort();
		await source.done;
		transport.close();
		await server.close();
	});

	const listed = (): Promise<void> =>
		vi.waitFor(() => {
			for (const sink of Object.values(sinks)) expect(sink.calls).toContain('listed');
		});

	it('auto watches EndpointSlices where the API has them, with the token on every request', async () => {
		server.script(DISCOVERY, raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })));
		await start('auto');
		await listed();
		expect(chosen).toEqual(['endpointslices']);
		expect(sinks.endpoints.calls).toEqual(['upsert default/svc-abc', 'listed']);
		expect(sinks.node.calls).toEqual(['upsert node1', 'listed']);
		expect(server.requestsOf(ENDPOINTS)).toEqual([]);
		expect(server.requestsOf('/api/v1/nodes')[0]).toBe(
			'/api/v1/nodes?fieldSelector=metadata.name=node1&limit=500&resourceVersion=0',
		);
		expect(new Set(server.headers.map((headers) => headers.authorization))).toEqual(new Set(['Bearer t0']));
		expect([...source.states().keys()].sort()).toEqual(['endpointslices', 'nodes', 'services']);
	});

	it('auto falls back to Endpoints where the API group is unknown, and never watches both', async () => {
		server.script(DISCOVERY, status(404, 'NotFound'));
		await start('auto');
		await listed();
		expect(chosen).toEqual(['endpoints']);
		expect(sinks.endpoints.calls).toEqual(['upsert default/svc', 'listed']);
		expect(server.requestsOf(SLICES)).toEqual([]);
		expect(server.requestsOf(ENDPOINTS)[0]).toContain('labelSelector=!service.kubernetes.io/headless');
	});

	it('auto asks again until the API server answers', async () => {
		server.script(DISCOVERY, status(503, 'ServiceUnavailable'), (response) => response.socket?.destroy());
		server.script(DISCOVERY, raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })));
		await start('auto');
		await listed();
		expect(server.requestsOf(DISCOVERY)).toHaveLength(3);
		expect(chosen).toEqual(['endpointslices']);
	});

	it.each([true, false])(
		'watches namespaces, and all Services and endpoints only where wanted: %s',
		async (all) => {
			server.script('/api/v1/namespaces', list('5', [{ metadata: { name: 'empty', resourceVersion: '5' } }]));
			sinks = { ...sinks, namespaces: new Names() };
			allServices = all;
			await start('endpointslices');
			await listed();
			expect(sinks.namespaces?.calls).toEqual(['upsert empty', 'listed']);
			for (const path of ['/api/v1/services', SLICES])
				expect(server.requestsOf(path)[0]?.includes('labelSelector')).toBe(!all);
		},
	);

	it('watches ServiceCIDRs where the API has them', async () => {
		const found = new Names();
		server.script(NETWORKING, raw(JSON.stringify({ resources: [{ name: 'servicecidrs' }] })));
		server.script(`${NETWORKING}/servicecidrs`, list('5', [{ metadata: { name: 'kubernetes' } }]));
		await start('endpointslices', found);
		await vi.waitFor(() => expect(found.calls).toEqual(['upsert kubernetes', 'listed']));
	});

	it('goes on without ServiceCIDRs where the API has none, or does not tell', async () => {
		const found = new Names();
		server.script(NETWORKING, status(500, 'InternalError'), raw(JSON.stringify({ resources: [] })));
		await start('endpointslices', found);
		await listed();
		await vi.waitFor(() => expect(server.requestsOf(NETWORKING)).toHaveLength(2));
		expect(found.calls).toEqual([]);
		expect(server.requestsOf(`${NETWORKING}/servicecidrs`)).toEqual([]);
	});

	it.each(['endpoints', 'endpointslices'] as const)('%s asks no discovery', async (kind) => {
		await start(kind);
		await listed();
		expect(server.requestsOf(DISCOVERY)).toEqual([]);
		expect(server.requestsOf(kind === 'endpoints' ? SLICES : ENDPOINTS)).toEqual([]);
	});
});
