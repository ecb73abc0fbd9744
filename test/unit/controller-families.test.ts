import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestCluster, type TestCluster } from './controller-cluster.ts';
import { viewsOf } from './controller-views.ts';

let cluster: TestCluster;
const { slices, endpoints, ofFamily, all, edit, serve } = viewsOf(() => cluster);

beforeEach(() => {
	cluster = createTestCluster();
	cluster.addNode('node1', 'zone-a');
	cluster.addNode('node2', 'zone-b');
});

afterEach(() => cluster.stop());

describe('EndpointSlices of families and zones', () => {
	it.each([
		['IPv4', { ipFamilies: ['IPv4'] }, ['IPv4'], '10.244.'],
		['IPv6', { ipFamilies: ['IPv6'] }, ['IPv6'], 'fd00:'],
		[
			'v4, v6',
			{ ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'] },
			['IPv4', 'IPv6'],
			'10.244.',
		],
		[
			'v6, v4',
			{ ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6', 'IPv4'] },
			['IPv4', 'IPv6'],
			'fd00:',
		],
	])(
		'of a Service with families %s; Endpoints have the first only (B-85, A-95)',
		async (_what, spec, types, first) => {
			await serve(2, spec);
			expect(
				slices()
					.map(({ addressType }) => addressType)
					.sort(),
			).toEqual(types);
			for (const type of types) expect(all(type)).toHaveLength(2);
			const listed = endpoints()!.subsets!.flatMap((subset) => subset.addresses!);
			expect(listed).toHaveLength(2);
			for (const { ip } of listed) expect(ip.startsWith(first)).toBe(true);
		},
	);

	it('follow a Service that becomes dual-stack and back', async () => {
		await serve(2);
		edit('web', ({ spec }) => {
			spec.ipFamilyPolicy = 'RequireDualStack';
		});
		await cluster.converge();
		expect(all('IPv6')).toHaveLength(2);
		edit('web', ({ spec }) => {
			spec.ipFamilyPolicy = 'SingleStack';
			spec.ipFamilies = ['IPv4'];
			spec.clusterIPs = [spec.clusterIP!];
		});
		await cluster.converge();
		expect(ofFamily('IPv6')).toEqual([]);
		expect(all('IPv4')).toHaveLength(2);
	});

	it.each([
		['PreferClose', [[{ name: 'zone-a' }], [{ name: 'zone-b' }]], [undefined, undefined]],
		['PreferSameZone', [[{ name: 'zone-a' }], [{ name: 'zone-b' }]], [undefined, undefined]],
		[
			'PreferSameNode',
			[[{ name: 'zone-a' }], [{ name: 'zone-b' }]],
			[[{ name: 'node1' }], [{ name: 'node2' }]],
		],
	])(
		'hints with trafficDistribution %s, gone without it (B-87, B R-12)',
		async (trafficDistribution, zones, nodes) => {
			await serve(2);
			const write = (to?: string) =>
				edit('web', ({ spec }) => {
					if (to) spec.trafficDistribution = to;
					else delete spec.trafficDistribution;
				});
			write(trafficDistribution);
			await cluster.converge();
			const sorted = () => all().toSorted((a, b) => (a.zone! < b.zone! ? -1 : 1));
			expect(sorted().map(({ hints }) => hints!.forZones)).toEqual(zones);
			expect(sorted().map(({ hints }) => hints!.forNodes)).toEqual(nodes);
			write();
			await cluster.converge();
			expect(all().map(({ hints }) => hints)).toEqual([undefined, undefined]);
		},
	);

	it('has no zone hint for an endpoint without a zone (B R-12)', async () => {
		cluster.addNode('node0');
		await serve(1, { trafficDistribution: 'PreferClose' });
		expect(all()[0]).toMatchObject({ nodeName: 'node0' });
		expect(all()[0]!.hints).toBeUndefined();
		const node = cluster.api.get('nodes', undefined, 'node0')!;
		const labels = { 'topology.kubernetes.io/zone': 'zone-c' };
		cluster.api.update('nodes', { ...node, metadata: { ...node.metadata, labels } });
		await cluster.converge();
		expect(all()[0]).toMatchObject({ zone: 'zone-c', hints: { forZones: [{ name: 'zone-c' }] } });
	});

	it('has hints on ready endpoints only (B R-12)', async () => {
		await serve(2, { trafficDistribution: 'PreferClose' });
		const [pod] = cluster.api.list('pods');
		cluster.setReady(pod!, false);
		await cluster.settle();
		const hinted = () => all().map(({ hints, conditions }) => [conditions!.ready, hints !== undefined]);
		expect(hinted().sort()).toEqual([
			[false, false],
			[true, true],
		]);
	});
});
