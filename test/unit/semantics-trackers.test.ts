import { describe, expect, it } from 'vitest';
import { mapAddressText } from '../packet/services.ts';
import { node, service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

const backends = (rig: Rig) =>
	rig
		.dump()
		.split('\n')
		.filter((line) => line.startsWith('backend '))
		.map((line) => line.split(' ')[1]);
const ports = (...numbers: number[]) => numbers.map((port) => ({ name: `p${port}`, port, protocol: 'TCP' }));
const LOCAL_LB = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32001 };

describe('Services', () => {
	it('headless and ExternalName Services have no entries, four others with ten ports have ten (B-50)', () => {
		const unserved = {
			'ns/headless': service('ns/headless', { ips: ['None'] }),
			'ns/portless': service('ns/portless', { ips: ['None'], ports: [] }),
			'ns/elsewhere': service('ns/elsewhere', {
				ips: [],
				spec: { type: 'ExternalName', externalName: 'foo.example.com' },
			}),
		};
		const rig = new Rig().add(unserved).listed().sync();
		expect(rig.dump()).toBe('settings snat 192.168.10.11 fd00:10::11\n');
		rig
			.add({
				'ns/a': service('ns/a', { ips: ['10.96.0.1'], ports: ports(1, 2) }),
				'ns/b': service('ns/b', { ips: ['10.96.0.2'], ports: ports(1, 2, 3) }),
				'ns/c': service('ns/c', { ips: ['10.96.0.3'], ports: ports(1, 2, 3), spec: LOCAL_LB }),
				'ns/d': service('ns/d', {
					ips: ['10.96.0.4'],
					ports: ports(1, 2),
					spec: { ...LOCAL_LB, externalTrafficPolicy: 'Cluster' },
				}),
			})
			.sync();
		expect(rig.reconciler.services().flatMap((view) => [...view.ports.keys()])).toHaveLength(10);
		expect(rig.reconciler.healthChecks()).toEqual([{ service: 'ns/c', port: 32001, localEndpoints: 0 }]);
	});

	it('a Service that becomes a Local load balancer gets one health port, not one a port, and loses it (B-51)', () => {
		const options = { ports: ports(1, 2, 3) };
		const rig = new Rig()
			.add({ 'ns/a': service('ns/a', options) })
			.listed()
			.sync();
		expect(rig.reconciler.healthChecks()).toEqual([]);
		rig.add({ 'ns/a': service('ns/a', { ...options, spec: LOCAL_LB }) }).sync();
		expect(rig.reconciler.healthChecks()).toHaveLength(1);
		rig.add({ 'ns/a': service('ns/a', options) }).sync();
		expect(rig.reconciler.healthChecks()).toEqual([]);
	});

	it.each([
		['both families', ['10.96.0.1', 'fd00:96::1'], [4, 6]],
		['IPv4', ['10.96.0.1'], [4]],
		['IPv6', ['fd00:96::1'], [6]],
	])(
		'a Service of %s has the addresses and ranges of those, each its own endpoints (B-52)',
		(_what, ips, families) => {
			const web = service('ns/web', {
				ips,
				spec: {
					type: 'LoadBalancer',
					externalIPs: ['192.168.99.11', '2001:db8:99::11'],
					loadBalancerSourceRanges: ['203.0.113.0/25', ' 2001:db8:1::/64'],
				},
				status: { loadBalancer: { ingress: [{ ip: '1.2.3.4' }, { ip: '2001:db8:4::4' }] } },
			});
			const slices = { 'ns/web-4': slice('web', ['10.1.0.1']), 'ns/web-6': slice('web', ['fd00:1::1']) };
			const rig = new Rig().add({ 'ns/web': web }, slices).listed().sync();
			const [view] = rig.reconciler.services();
			const served = view!.frontends
				.filter(({ scope }) => scope === 'external')
				.map(({ address, kind, backends }) => `${kind} ${address} ${backends.map((b) => b.address)}`);
			const of = {
				4: [
					'clusterip 10.96.0.1:80 10.1.0.1:8080',
					'externalip 192.168.99.11:80 10.1.0.1:8080',
					'loadbalancer 1.2.3.4:80 10.1.0.1:8080',
				],
				6: [
					'clusterip [fd00:96::1]:80 [fd00:1::1]:8080',
					'externalip [2001:db8:99::11]:80 [fd00:1::1]:8080',
					'loadbalancer [2001:db8:4::4]:80 [fd00:1::1]:8080',
				],
			};
			expect(served.sort()).toEqual(families.flatMap((family) => of[family as 4 | 6]).sort());
			const ranges = rig
				.dump()
				.split('\n')
				.filter((line) => line.startsWith('source '))
				.map((line) => line.split(' ')[1]);
			const wanted = { 4: '203.0.113.0/25', 6: '2001:db8:1::/64' };
			expect(ranges.sort()).toEqual(families.map((family) => wanted[family as 4 | 6]).sort());
		},
	);

	it.each(['NodePort', 'ClusterIP'])('a health port of a Service of type %s is not served (B-50)', (type) => {
		const rig = new Rig().add({ 'ns/a': service('ns/a', { spec: { ...LOCAL_LB, type } }) });
		expect(rig.listed().sync().reconciler.healthChecks()).toEqual([]);
	});
});

describe('EndpointSlices', () => {
	const WEB = { 'ns/web': service('ns/web', { ports: ports(80, 443) }) };
	const named = (name: string, port: number) => [{ name, port, protocol: 'TCP' }];

	it('the endpoints are the union of the slices after any change of them (B-55)', () => {
		const rig = new Rig().add(WEB).listed();
		const set = (key: string, ...args: Parameters<typeof slice>) =>
			backends(rig.add({}, { [`ns/${key}`]: slice(...args) }).sync());
		const p80 = named('p80', 8080);
		expect(set('x', 'web', ['10.1.0.1'], p80)).toEqual(['10.1.0.1:8080/tcp']);
		expect(set('x', 'web', ['10.1.0.1', '10.1.0.2'], p80), 'another endpoint').toEqual([
			'10.1.0.1:8080/tcp',
			'10.1.0.2:8080/tcp',
		]);
		expect(set('y', 'web', ['10.1.0.3'], named('p443', 8443)), 'another slice, with another port').toEqual([
			'10.1.0.1:8080/tcp',
			'10.1.0.2:8080/tcp',
			'10.1.0.3:8443/tcp',
		]);
		const both = [...p80, ...named('p443', 8443)];
		expect(set('x', 'web', ['10.1.0.1'], both), 'one endpoint less, one port more').toEqual([
			'10.1.0.1:8080/tcp',
			'10.1.0.1:8443/tcp',
			'10.1.0.3:8443/tcp',
		]);
		expect(set('x', 'web', ['10.1.0.1'], named('p80', 9090)), 'another number').toEqual([
			'10.1.0.1:9090/tcp',
			'10.1.0.3:8443/tcp',
		]);
		expect(set('x', 'web', ['10.1.0.1'], named('other', 9090)), 'another name').toEqual([
			'10.1.0.3:8443/tcp',
		]);
		rig.sinks.endpoints.remove('ns/y');
		expect(backends(rig.sync()), 'a slice less').toEqual([]);
	});

	it('local endpoints are counted by Service, those of two slices once (B-55)', () => {
		const here = (ip: string) => ({ ip, node: 'node1' });
		const local = (key: string, ip: string, port: number) =>
			service(key, { ips: [ip], spec: { ...LOCAL_LB, healthCheckNodePort: port } });
		const rig = new Rig().add(
			{ 'ns1/ep1': local('ns1/ep1', '10.96.0.1', 32001), 'ns2/ep2': local('ns2/ep2', '10.96.0.2', 32002) },
			{
				'ns1/ep1-x': slice('ep1', [here('10.1.0.1'), here('10.1.0.2'), '10.1.0.3']),
				'ns1/ep1-y': slice('ep1', [here('10.1.0.2')]),
				'ns2/ep2-x': slice('ep2', [here('10.2.0.1'), '10.2.0.2']),
			},
		);
		const counts = rig.listed().sync().reconciler.healthChecks();
		expect(counts.map((c) => [c.service, c.localEndpoints])).toEqual([
			['ns1/ep1', 2],
			['ns2/ep2', 1],
		]);
	});

	const UDP = [{ port: 53, protocol: 'UDP' }];
	const dns = { 'ns/dns': service('ns/dns', { ports: UDP }) };
	function watched() {
		const gone: string[][] = [];
		const rig = new Rig({
			backendsGone: (list) => gone.push(list.map(({ addr, port }) => `${mapAddressText(addr)}:${port}`)),
		});
		return { rig, gone };
	}

	it('what is left of a UDP backend that went is ended, and nothing when nothing changed (B-55)', () => {
		const { rig, gone } = watched();
		const set = (...ips: string[]) => rig.add(dns, { 'ns/dns-x': slice('dns', ips, UDP) });
		set('10.1.0.1', '10.1.0.2').listed().sync();
		set('10.1.0.1', '10.1.0.2').sync();
		expect(gone.flat()).toEqual([]);
		set('10.1.0.2').sync();
		expect(gone.flat()).toEqual(['10.1.0.1:53']);
	});

	it('nothing is ended for a Service whose endpoints were never seen (B-73)', () => {
		const { rig, gone } = watched();
		rig
			.add(dns, { 'ns/dns-x': slice('another', ['10.1.0.1'], UDP) })
			.listed()
			.sync();
		expect(rig.lineOf('frontend 10.96.0.1:53/udp internal')).toMatch(/-> none$/);
		expect(gone.flat()).toEqual([]);
	});

	it('a slice that moves to another Service takes its endpoints along (B R-7)', () => {
		const rig = new Rig()
			.add(
				{ 'ns/a': service('ns/a'), 'ns/b': service('ns/b', { ips: ['10.96.0.2'] }) },
				{ 'ns/x': slice('a', ['10.1.0.1']) },
			)
			.listed()
			.sync();
		const of = (ip: string) => rig.lineOf(`frontend ${ip}:80/tcp internal`).split('-> ')[1];
		const first = of('10.96.0.1');
		expect(first).toContain('10.1.0.1:8080/tcp');
		rig.add({}, { 'ns/x': slice('b', ['10.1.0.1']) }).sync();
		expect([of('10.96.0.1'), of('10.96.0.2')]).toEqual(['none', first]);
	});

	it('a port without a number and a slice of another family give no endpoint (B R-7)', () => {
		const rig = new Rig()
			.add(
				{ 'ns/web': service('ns/web') },
				{
					'ns/x': slice('web', ['10.1.0.1'], [{ name: '', protocol: 'TCP' }]),
					'ns/y': slice('web', ['fd00:1::1']),
				},
			)
			.listed()
			.sync();
		expect(rig.lineOf('frontend 10.96.0.1:80/tcp internal')).toMatch(/-> none$/);
	});

	it('the endpoints of a Service are those of the cluster and those of the node, each once (B R-6)', () => {
		const hinted = (zone: string) => ({ forZones: [{ name: zone }] });
		const spec = { type: 'NodePort', externalTrafficPolicy: 'Local' };
		const web = service('ns/web', { ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }], spec });
		const rig = new Rig().add(
			{ 'ns/web': web },
			{
				'ns/x': slice('web', [
					{ ip: '10.1.0.1', node: 'node1', hints: hinted('zone-a') },
					{ ip: '10.1.0.2', node: 'node1', hints: hinted('zone-b') },
					{ ip: '10.1.0.3', hints: hinted('zone-a') },
					{ ip: '10.1.0.4', hints: hinted('zone-b') },
				]),
			},
		);
		const [view] = rig
			.listed(node(['192.168.10.11'], 'zone-a'))
			.sync()
			.reconciler.services();
		const named = new Set(view!.frontends.flatMap((f) => f.backends.map((b) => b.address)));
		expect([...named].sort()).toEqual(['10.1.0.1:8080', '10.1.0.2:8080', '10.1.0.3:8080']);
		expect(new Set(backends(rig)).size).toBe(backends(rig).length);
	});
});
