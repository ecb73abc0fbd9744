import { describe, expect, it } from 'vitest';
import { parseCidr } from '../../agent/model/cidr.ts';
import { parseEndpointSlice } from '../../agent/model/endpoints.ts';
import { ipOfBytes, parseIp } from '../../agent/model/ip.ts';
import { unknownNode } from '../../agent/model/node.ts';
import { parseService } from '../../agent/model/service.ts';
import { translate } from '../../agent/model/translate.ts';
import { emptyKernel, serviceCidrsOf } from '../../agent/plan/kernel.ts';
import { printPlan } from '../../agent/plan/plan.ts';
import { Planner } from '../../agent/plan/planner.ts';
import { service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

describe('Reconciler.services()', () => {
	it('shows every frontend with its backends, and the ids that counters use', () => {
		const web = service('default/web', {
			ips: ['10.96.0.1', 'fd00::1'],
			spec: { internalTrafficPolicy: 'Local' },
		});
		const slices = { 'default/web': slice('web', [{ ip: '10.244.1.2', node: 'node1' }, '10.244.2.2']) };
		const rig = new Rig().add({ 'default/web': web }, slices).listed().sync();
		const [view] = rig.reconciler.services();
		expect(view).toMatchObject({ service: 'default/web', refused: undefined });
		expect(view?.frontends.map((f) => [f.address, f.scope, f.kind, f.tableSize, f.backends.length])).toEqual([
			['10.96.0.1:80', 'external', 'clusterip', 251, 1],
			['10.96.0.1:80', 'internal', 'clusterip', 251, 1],
			['[fd00::1]:80', 'external', 'clusterip', 0, 0],
			['[fd00::1]:80', 'internal', 'clusterip', 0, 0],
		]);
		expect(view?.frontends[0]?.backends).toEqual([{ id: 1, address: '10.244.1.2:8080', local: true }]);
		const id = view?.ports.get('80/tcp');
		expect(rig.reconciler.serviceName(id!)).toBe('default/web:80/tcp');
	});
});

describe('Reconciler.healthChecks()', () => {
	it('counts ready endpoints of this node for Services with external policy Local (B-51, B-60)', () => {
		const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32000 };
		const ending = { ready: false, serving: true, terminating: true };
		const slices = {
			'default/a': slice('a', [
				{ ip: '10.244.1.2', node: 'node1' },
				{ ip: '10.244.1.3', node: 'node1', conditions: ending },
				{ ip: '10.244.2.2', node: 'node2' },
			]),
		};
		const a = service('default/a', { spec });
		const b = service('default/b', { ips: ['10.96.0.2'], spec: { ...spec, healthCheckNodePort: 32001 } });
		const rig = new Rig().add(
			{ 'default/a': a, 'default/b': b, 'default/c': service('default/c', { ips: ['10.96.0.3'] }) },
			slices,
		);
		rig.listed().sync();
		expect(rig.reconciler.healthChecks()).toEqual([
			{ service: 'default/a', port: 32000, localEndpoints: 1 },
			{ service: 'default/b', port: 32001, localEndpoints: 0 },
		]);
		rig
			.add({ 'default/a': service('default/a', { spec: { ...spec, externalTrafficPolicy: 'Cluster' } }) })
			.sync();
		expect(rig.reconciler.healthChecks().map((c) => c.service)).toEqual(['default/b']);
	});

	it('counts a pod once that has an address of each family', () => {
		const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32000 };
		const ips = ['10.96.0.1', 'fd00::1'];
		const rig = new Rig().add(
			{ 'default/a': service('default/a', { ips, spec }) },
			{
				'default/a4': slice('a', [
					{ ip: '10.244.1.2', node: 'node1' },
					{ ip: '10.244.1.3', node: 'node1' },
				]),
				'default/a6': slice('a', [{ ip: 'fd00:244:1::2', node: 'node1' }]),
			},
		);
		expect(rig.listed().sync().reconciler.healthChecks()).toMatchObject([{ localEndpoints: 2 }]);
	});

	it.each([
		[undefined, undefined],
		[['0.0.0.0/0'], undefined],
		[
			['0.0.0.0/0', 'fd00::/16'],
			['192.168.20.11', 'fd00:20::11'],
		],
		[
			['192.168.0.0/16', '::/0'],
			['192.168.20.11', 'fd00:20::11', '2001:db8::1'],
		],
		[['10.0.0.0/8', 'fd01::/16'], []],
	])('are served where NodePorts are, when that is %s: at %s', (cidrs, addresses) => {
		const nodePortCidrs = cidrs?.flatMap((cidr) => parseCidr(cidr) ?? []);
		const { reconciler } = new Rig({ nodePortCidrs }).listed();
		if (cidrs) reconciler.setLocalAddresses(['192.168.20.11', 'fd00:20::11', '2001:db8::1', '127.0.0.1']);
		expect(reconciler.sync()).toBeDefined();
		expect(reconciler.healthCheckAddresses()).toEqual(addresses);
	});
});

describe('Reconciler.noLocalEndpoints()', () => {
	const PORTS = [{ port: 80, protocol: 'TCP', nodePort: 30080 }];
	const here = { ip: '10.244.1.2', node: 'node1' };
	const counts = (spec: object, endpoints: Parameters<typeof slice>[1]) => {
		const web = service('ns/web', { ports: PORTS, spec: { type: 'NodePort', ...spec } });
		const rig = new Rig()
			.add({ 'ns/web': web }, { 'ns/web-x': slice('web', endpoints) })
			.listed()
			.sync();
		return rig.reconciler.noLocalEndpoints();
	};
	const INTERNAL = { internalTrafficPolicy: 'Local' };
	const EXTERNAL = { externalTrafficPolicy: 'Local' };

	it.each([
		['internal policy Local with remote endpoints only', INTERNAL, ['10.244.2.2'], [1, 0]],
		['external policy Local with remote endpoints only', EXTERNAL, ['10.244.2.2'], [0, 1]],
		['both', { ...INTERNAL, ...EXTERNAL }, ['10.244.2.2'], [1, 1]],
		['policy Local with a local endpoint', { ...INTERNAL, ...EXTERNAL }, [here, '10.244.2.2'], [0, 0]],
		['policy Local without any endpoint', { ...INTERNAL, ...EXTERNAL }, [], [0, 0]],
		['policy Cluster with remote endpoints only', {}, ['10.244.2.2'], [0, 0]],
		[
			'external policy Local that nothing outside reaches',
			{ ...EXTERNAL, type: 'ClusterIP' },
			['10.244.2.2'],
			[0, 0],
		],
	])('counts a Service of %s (B-57)', (_what, spec, endpoints, [internal, external]) => {
		expect(counts(spec, endpoints)).toEqual({ internal, external });
	});
});

describe('printPlan()', () => {
	it('says what will be written, in order', () => {
		const planner = new Planner({
			frontends: 100,
			backends: 100,
			sourceRanges: 9,
			chunks: 1024,
			segments: 1,
		});
		const node = { ...unknownNode('node1'), addresses: [parseIp('192.168.10.11')!] };
		const parsed = parseService(service('default/web'), 'default/web').value;
		const source = parseEndpointSlice(slice('web', ['10.244.1.2']), 'default/web').value;
		const settings = { snatV4: node.addresses[0]!.bytes, snatV6: ipOfBytes(new Uint8Array(16)).bytes };
		planner.update('default/web', translate(parsed, [source], node));
		const values = { settings, serviceCidrs: serviceCidrsOf([parseCidr('10.96.0.0/16')!]) };
		const text = printPlan(planner.plan(values, emptyKernel(), 0, true));
		expect(text.split('\n')).toEqual([
			'set snat 192.168.10.11 ::',
			'set 1 service CIDRs',
			'set backend 1 10.244.1.2:8080/tcp of 1 flags 1 generation 1',
			'set table 0:0 17 chunks',
			'set 2 words of frontend bits',
			'set frontend 10.96.0.1:80/tcp external service 1 flags 2 table 0:0 size 251 backends 1 affinity 0',
			'set frontend 10.96.0.1:80/tcp internal service 1 flags 2 table 0:0 size 251 backends 1 affinity 0',
			'set address 10.96.0.1 flags 7',
			'set 1 words of address bits',
		]);
	});
});
