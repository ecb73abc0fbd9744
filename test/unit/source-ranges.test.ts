import { describe, expect, it } from 'vitest';
import { sourceRangeKeyCodec } from '../../agent/abi/layout.ts';
import type { FakeWrite } from '../../agent/bpf/fake.ts';
import { cidrText, parseStoredCidr } from '../../agent/model/cidr.ts';
import { parseStoredIp } from '../../agent/model/ip.ts';
import { parseService } from '../../agent/model/service.ts';
import { sourceRangeName } from '../../agent/plan/kernel.ts';
import { service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

describe('addresses and ranges of stored objects are read as decimal (B R-1)', () => {
	it.each([
		['010.096.000.001', '10.96.0.1'],
		['10.0.0.0', '10.0.0.0'],
		['0.0.0.0', '0.0.0.0'],
		['192.168.100.200', '192.168.100.200'],
		['fd00::0001', 'fd00::1'],
	])('%s is %s', (text, ip) => expect(parseStoredIp(text)?.text).toBe(ip));

	it.each(['1.2.3.0400', '1.2.3', 'x', ' 1.2.3.4'])('refuses %j', (text) =>
		expect(parseStoredIp(text)).toBeUndefined(),
	);

	it.each([
		[' 203.0.113.0/25', '203.0.113.0/25'],
		['192.168.000.7/24\n', '192.168.0.0/24'],
		['0.0.0.0/0', '0.0.0.0/0'],
		['2001:db8:5::1/48', '2001:db8:5::/48'],
		['::/0', '::/0'],
		['10.0.0.1/32', '10.0.0.1/32'],
	])('the range %j is %s', (text, cidr) => expect(cidrText(parseStoredCidr(text)!)).toBe(cidr));

	it('of a Service: its addresses once each, whatever their zeros', () => {
		const options = {
			ips: ['010.96.0.1', '10.96.0.1'],
			spec: { type: 'LoadBalancer', externalIPs: ['198.051.100.001'] },
			status: { loadBalancer: { ingress: [{ ip: '001.002.003.004' }] } },
		};
		const { value, problems } = parseService(service('ns/a', options), 'ns/a');
		const texts = [value.clusterIps, value.externalIps, value.ingressIps].map((ips) =>
			ips.map((ip) => ip.text),
		);
		expect([texts, problems]).toEqual([[['10.96.0.1'], ['198.51.100.1'], ['1.2.3.4']], []]);
	});
});

const lb = (ranges: readonly unknown[] | undefined, more: object = {}) => ({
	'default/web': service('default/web', {
		spec: { type: 'LoadBalancer', loadBalancerSourceRanges: ranges, ...more },
		status: { loadBalancer: { ingress: [{ ip: '1.2.3.4' }] } },
	}),
});
const SLICES = { 'default/web': slice('web', ['10.244.0.1']) };
const start = (ranges?: readonly unknown[]) => new Rig().add(lb(ranges), SLICES).listed().sync();
const sources = (rig: Rig) =>
	rig
		.dump()
		.split('\n')
		.filter((line) => line.startsWith('source '))
		.map((line) => line.split(' ')[1]);
const limited = (rig: Rig) => rig.lineOf('frontend 1.2.3.4:80/tcp external').includes('ranges');
/** The relevant writes in order: `+10.0.0.0/8` for a range, `frontends` for a frontend. */
const steps = (writes: readonly FakeWrite[]) =>
	writes.flatMap(({ map, operation, key }) => {
		if (map === 'frontends') return ['frontends'];
		if (map !== 'source_ranges') return [];
		const range = sourceRangeName(sourceRangeKeyCodec.decode(key!)).split(' ')[0];
		return [`${operation === 'delete' ? '-' : '+'}${range}`];
	});

describe('loadBalancerSourceRanges', () => {
	it('limit the LoadBalancer addresses, and no other frontend', () => {
		const rig = start(['192.168.0.0/24', ' 203.0.113.0/25']);
		expect(sources(rig)).toEqual(['192.168.0.0/24', '203.0.113.0/25']);
		expect(limited(rig)).toBe(true);
		expect(rig.lineOf('frontend 10.96.0.1:80/tcp external')).not.toContain('ranges');
	});

	it('are in the map before the frontends that name them, and leave it behind them', () => {
		const rig = start();
		rig.maps.kernel.take();
		rig.add(lb(['10.0.0.0/8'])).sync();
		expect(steps(rig.maps.kernel.take())).toEqual(['+10.0.0.0/8', 'frontends', 'frontends']);
		expect(limited(rig)).toBe(true);
		rig.add(lb([])).sync();
		expect(steps(rig.maps.kernel.take())).toEqual(['frontends', 'frontends', '-10.0.0.0/8']);
		expect([limited(rig), sources(rig)]).toEqual([false, []]);
	});

	it('that are edited are added before any is taken away, so that nobody is let in or out between', () => {
		const rig = start(['10.0.0.0/8', '11.0.0.0/8']);
		rig.maps.kernel.take();
		rig.add(lb(['11.0.0.0/8', '12.0.0.0/8'])).sync();
		expect(steps(rig.maps.kernel.take())).toEqual(['+12.0.0.0/8', '-10.0.0.0/8']);
	});

	it('allow nobody while one cannot be read, and say so', () => {
		const rig = start(['10.0.0.0', 7]);
		expect([limited(rig), sources(rig)]).toEqual([true, []]);
		expect(rig.reconciler.snapshot().problems.map((p) => `${p.field} ${p.message}`)).toEqual([
			'spec.loadBalancerSourceRanges[0] is "10.0.0.0", expected a CIDR such as 192.0.2.0/24; it allows no source',
			'spec.loadBalancerSourceRanges[1] is 7, expected a CIDR such as 192.0.2.0/24; it allows no source',
		]);
	});

	it('go when the Service does, and when it is no LoadBalancer any more', () => {
		const rig = start(['10.0.0.0/8']);
		rig.add(lb(['10.0.0.0/8'], { type: 'ClusterIP' })).sync();
		expect(sources(rig)).toEqual([]);
		rig.add(lb(['10.0.0.0/8'])).sync();
		expect(sources(rig)).toEqual(['10.0.0.0/8']);
		rig.sinks.services.remove('default/web');
		expect(sources(rig.sync())).toEqual([]);
	});

	it('come back when somebody else took them out of the map', () => {
		const rig = start(['10.0.0.0/8']);
		for (const [key] of [...rig.maps.sourceRanges.entries()]) rig.maps.sourceRanges.delete(key);
		rig.reconciler.verify();
		expect(sources(rig.sync())).toEqual(['10.0.0.0/8']);
	});

	it('that do not fit refuse their whole Service', () => {
		const rig = new Rig({ limits: { sourceRanges: 1 } })
			.add(lb(['10.0.0.0/8', '11.0.0.0/8']), SLICES)
			.listed()
			.sync();
		expect(rig.reconciler.snapshot().problems.map((p) => p.message)).toEqual([
			'is not served: needs 2 source ranges, 1 of 1 are left; older Services are kept',
		]);
		expect(rig.dump()).not.toContain('frontend');
	});
});
