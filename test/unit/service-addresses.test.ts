import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ADDRESS_WORDS } from '../../agent/abi/layout.ts';
import { parseCidr } from '../../agent/model/cidr.ts';
import { parseIp } from '../../agent/model/ip.ts';
import { addressBit, Bits, wordOf } from '../../agent/plan/bits.ts';
import { node, service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

const addressLines = (rig: Rig) =>
	rig
		.dump()
		.split('\n')
		.filter((line) => line.startsWith('address '))
		.map((line) => line.slice('address '.length));
const problems = (rig: Rig) =>
	rig.reconciler.snapshot().problems.map((p) => `${p.object} ${p.field} ${p.message}`);

describe('Bits', () => {
	it('have the bit of each address that is in, and none of one that is not', () => {
		const address = fc
			.integer({ min: 0, max: 0xffff })
			.map((n) => parseIp(`10.96.${n >> 8}.${n & 255}`)!.bytes);
		fc.assert(
			fc.property(fc.uniqueArray(address, { selector: String }), fc.nat(100), (all, gone) => {
				const bits = new Bits(ADDRESS_WORDS);
				for (const one of all) bits.add(addressBit(one));
				for (const one of all.slice(0, gone)) bits.remove(addressBit(one));
				const expected = new Set(all.slice(gone).map(addressBit));
				const found = [...bits.words].reduce(
					(sum, word) => sum + word.toString(2).replaceAll('0', '').length,
					0,
				);
				expect(found).toBe(expected.size);
				for (const bit of expected) expect((bits.words[wordOf(bit)]! >> BigInt(bit & 63)) & 1n).toBe(1n);
			}),
		);
	});
});

describe('addresses of Services (B R-1)', () => {
	const web = (spec: object = {}, ips = ['10.96.0.1']) => ({
		'default/web': service('default/web', { ips, spec }),
	});

	it('are told with who has a backend there, by scope', () => {
		const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', externalIPs: ['198.51.100.1'] };
		const rig = new Rig().add(web(spec)).listed().sync();
		expect(addressLines(rig)).toEqual(['10.96.0.1 clusterip', '198.51.100.1 -']);
		rig.add({}, { 'default/web': slice('web', ['10.244.0.1']) }).sync();
		expect(addressLines(rig)).toEqual([
			'10.96.0.1 clusterip,usable_external,usable_internal',
			'198.51.100.1 usable_internal',
		]);
		rig.sinks.services.remove('default/web');
		expect(rig.sync().dump()).not.toContain('address');
	});

	it('that two Services have stay until both have gone', () => {
		const of = (name: string, port: number) =>
			service(`default/${name}`, {
				ips: [],
				ports: [{ port }],
				spec: { clusterIPs: [`10.96.0.${port}`], externalIPs: ['198.51.100.1'] },
			});
		const rig = new Rig()
			.add(
				{ 'default/a': of('a', 80), 'default/b': of('b', 81) },
				{ 'default/a': slice('a', ['10.244.0.1']) },
			)
			.listed()
			.sync();
		const shared = () => addressLines(rig).filter((line) => line.startsWith('198.51.100.1 '));
		expect(shared()).toEqual(['198.51.100.1 usable_external,usable_internal']);
		rig.sinks.services.remove('default/a');
		rig.sync();
		expect(shared()).toEqual(['198.51.100.1 -']);
		rig.sinks.services.remove('default/b');
		rig.sync();
		expect(shared()).toEqual([]);
	});

	it('are closed behind their frontends, and open before them', () => {
		const rig = new Rig().listed().sync();
		rig.maps.kernel.take();
		const order = () => [...new Set(rig.maps.kernel.take().map((w) => w.map))];
		rig.add(web()).sync();
		expect(order()).toEqual(['frontend_bits', 'frontends', 'service_addresses', 'address_bits']);
		rig.sinks.services.remove('default/web');
		rig.sync();
		expect(order()).toEqual(['address_bits', 'service_addresses', 'frontends', 'frontend_bits']);
	});

	it('of the node are never closed: NodePorts, and LoadBalancer addresses on a device', () => {
		const spec = { type: 'LoadBalancer' };
		const status = { loadBalancer: { ingress: [{ ip: '192.168.10.11' }, { ip: '198.51.100.9' }] } };
		const lb = service('default/web', { spec, status, ports: [{ port: 80, nodePort: 30080 }] });
		const rig = new Rig().add({ 'default/web': lb }).listed().sync();
		expect(addressLines(rig)).toEqual(['10.96.0.1 clusterip', '198.51.100.9 -']);
		rig.reconciler.setLocalAddresses(['192.168.10.11', '198.51.100.9']);
		rig.sync();
		expect(addressLines(rig)).toEqual(['10.96.0.1 clusterip']);
		expect(rig.dump()).toContain('frontend 198.51.100.9:80/tcp external');
	});
});

describe('ranges of ClusterIPs', () => {
	const ranges = (rig: Rig) =>
		rig
			.dump()
			.split('\n')
			.flatMap((line) => /service CIDR (.*)$/.exec(line)?.[1] ?? []);
	const cidr = (...cidrs: string[]) => ({ metadata: { name: 'kubernetes' }, spec: { cidrs } });

	it('come from ServiceCIDR objects, follow them, and go with them', () => {
		const rig = new Rig().listed().sync();
		const sink = rig.reconciler.serviceCidrSink();
		sink.upsert('kubernetes', cidr('10.96.0.0/16', 'fd00:10:96::/112'));
		expect(ranges(rig.sync())).toEqual(['10.96.0.0/16', 'fd00:10:96::/112']);
		sink.upsert('more', cidr('10.97.0.0/16', '10.96.0.0/16', 'x'));
		expect(ranges(rig.sync())).toEqual(['10.96.0.0/16', '10.97.0.0/16', 'fd00:10:96::/112']);
		expect(problems(rig)).toEqual(['ServiceCIDR more spec.cidrs[2] is "x", expected a CIDR']);
		sink.remove('kubernetes');
		expect(ranges(rig.sync())).toEqual(['10.96.0.0/16', '10.97.0.0/16']);
		rig.maps.kernel.take();
		sink.upsert('more', cidr('10.97.0.0/16', '10.96.0.0/16'));
		rig.sync();
		expect(rig.maps.kernel.take()).toEqual([]);
	});

	it('that hold an address of the node are left alone, and those beyond the eighth', () => {
		const many = Array.from({ length: 10 }, (_, i) => parseCidr(`10.${i}.0.0/16`)!);
		const rig = new Rig({ serviceCidrs: [parseCidr('192.168.0.0/16')!, ...many] }).listed().sync();
		expect(ranges(rig)).toHaveLength(8);
		expect(problems(rig)).toEqual([
			'ServiceCIDR 192.168.0.0/16  contains the node address 192.168.10.11, so packets to its unallocated addresses are not dropped. Choose a range without node addresses',
			'ServiceCIDR 10.8.0.0/16  exceeds the limit of 8 ranges, so packets to its unallocated addresses are not dropped. Configure fewer ranges',
			'ServiceCIDR 10.9.0.0/16  exceeds the limit of 8 ranges, so packets to its unallocated addresses are not dropped. Configure fewer ranges',
		]);
	});
});

describe('addresses that no Service may take (CVE-2020-8554)', () => {
	const external = (rig: Rig) =>
		rig
			.dump()
			.split('\n')
			.flatMap((line) => /^frontend (\S+)\/tcp external externalip/.exec(line)?.[1] ?? []);
	const thief = (...externalIPs: string[]) => ({
		'default/t': service('default/t', { spec: { externalIPs } }),
	});

	it("the node's own, the API server's, and ClusterIPs: the rest of the Service is served", () => {
		const rig = new Rig({ apiServers: [parseIp('203.0.113.1')!], serviceCidrs: [parseCidr('10.96.0.0/16')!] })
			.add(thief('192.168.10.11', '203.0.113.1', '10.96.0.200', '198.51.100.1'))
			.listed()
			.sync();
		expect(external(rig)).toEqual(['198.51.100.1:80']);
		expect(problems(rig)).toEqual([
			"Service default/t spec.externalIPs 192.168.10.11 is the Node's own address; use another, or allow its range with --external-ips",
			'Service default/t spec.externalIPs 203.0.113.1 is an address of the API server; use another',
			'Service default/t spec.externalIPs 10.96.0.200 is in 10.96.0.0/16, the range of ClusterIPs; use an address outside of it',
		]);
	});

	it("are served when they are nobody's any more, and not as soon as they are", () => {
		const rig = new Rig().add(thief('198.51.100.1')).listed().sync();
		expect(external(rig)).toEqual(['198.51.100.1:80']);
		rig.sinks.node.upsert('node1', node(['192.168.10.11', '198.51.100.1']));
		expect(external(rig.sync())).toEqual([]);
		rig.sinks.node.upsert('node1', node());
		// an address on a device, as keepalived adds it
		rig.reconciler.setLocalAddresses(['198.51.100.1']);
		expect(external(rig.sync())).toEqual(['198.51.100.1:80']);
		expect(problems(rig)).toEqual([]);
		rig
			.add(
				{ 'default/kubernetes': service('default/kubernetes', { ips: ['10.96.0.9'] }) },
				{ 'default/kubernetes': slice('kubernetes', ['198.51.100.1']) },
			)
			.sync();
		expect(external(rig)).toEqual([]);
	});

	it("--external-ips restricts them to ranges, which may hold the node's own", () => {
		const externalCidrs = [parseCidr('198.51.100.0/24')!, parseCidr('192.168.10.11/32')!];
		const rig = new Rig({ externalCidrs })
			.add(thief('192.168.10.11', '198.51.100.1', '203.0.113.9'))
			.listed()
			.sync();
		expect(external(rig)).toEqual(['192.168.10.11:80', '198.51.100.1:80']);
		expect(problems(rig)).toEqual([
			'Service default/t spec.externalIPs 203.0.113.9 is not in the ranges of --external-ips; use an address of them, or add its range',
		]);
		const none = new Rig({ externalCidrs: [] }).add(thief('198.51.100.1')).listed().sync();
		expect(external(none)).toEqual([]);
	});

	it("leaves a load balancer the node's address, which only a controller can give it", () => {
		const status = { loadBalancer: { ingress: [{ ip: '192.168.10.11' }] } };
		const lb = service('default/lb', { spec: { type: 'LoadBalancer' }, status });
		const rig = new Rig().add({ 'default/lb': lb }).listed().sync();
		expect(rig.lineOf('frontend 192.168.10.11:80/tcp external')).toContain('loadbalancer');
	});
});
