import { describe, expect, it } from 'vitest';
import { frontendKeyCodec } from '../../agent/abi/layout.ts';
import { mapAddressText } from '../packet/services.ts';
import { service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

const PORTS = [{ name: 'web', port: 80, protocol: 'TCP', nodePort: 30080 }];
const INGRESS = (ip: string) => ({ loadBalancer: { ingress: [{ ip }] } });
const affine = (timeoutSeconds: number) => ({
	sessionAffinity: 'ClientIP',
	sessionAffinityConfig: { clientIP: { timeoutSeconds } },
});

/** The Service that changes. `ns/b` has the same endpoints. */
function a(spec: object = {}, ports: readonly object[] = PORTS, ingress = '203.0.113.1'): object {
	return service('ns/a', {
		ips: ['10.96.0.1'],
		ports,
		spec: { type: 'LoadBalancer', ...spec },
		status: INGRESS(ingress),
	});
}

const B = service('ns/b', { ips: ['10.96.0.2'], ports: [{ name: 'web', port: 80, protocol: 'TCP' }] });
const TARGETS = [{ name: 'web', port: 8080, protocol: 'TCP' }];
const IPS = ['10.1.0.1', '10.1.0.2'];

function both(): Rig {
	const slices = { 'ns/a-x': slice('a', IPS, TARGETS), 'ns/b-x': slice('b', IPS, TARGETS) };
	const rig = new Rig({ tableSize: 251 }).add({ 'ns/a': a(), 'ns/b': B }, slices).listed().sync();
	rig.maps.kernel.take();
	return rig;
}

const linesOf = (rig: Rig, key: string) =>
	rig
		.dump()
		.split('\n')
		.filter((line) => line.startsWith('frontend ') && line.includes(` service ${key}:`));
const written = (rig: Rig) => rig.maps.kernel.take().filter(({ map }) => map === 'frontends');

describe('Services with the same endpoints', () => {
	it('one that goes leaves the other as it is (F-49)', () => {
		const rig = both();
		const before = linesOf(rig, 'ns/b');
		const own = linesOf(rig, 'ns/a').length;
		rig.sinks.services.remove('ns/a');
		rig.sinks.endpoints.remove('ns/a-x');
		rig.sync();
		expect(linesOf(rig, 'ns/b')).toEqual(before);
		expect(linesOf(rig, 'ns/a')).toEqual([]);
		const writes = rig.maps.kernel.take().map(({ operation, map }) => `${operation} ${map}`);
		// its addresses are deleted before them, and ns/b shares no backends with it
		expect(writes.filter((write) => !/address|bits/.test(write))).toEqual([
			...Array(own).fill('delete frontends'),
			...Array(IPS.length).fill('update backends'),
		]);
	});

	it('an endpoint that a failed write left out for both is there for both after the next try (F-49)', () => {
		const change = (rig: Rig) =>
			rig.add(
				{},
				{
					'ns/a-x': slice('a', [...IPS, '10.1.0.3'], TARGETS),
					'ns/b-x': slice('b', [...IPS, '10.1.0.3'], TARGETS),
				},
			);
		const model = change(both()).sync();
		const writes = model.maps.kernel.take().length;
		for (let n = 1; n <= writes; n++) {
			const rig = change(both());
			rig.maps.kernel.failAt(n);
			// the same sync retries
			expect(rig.reconciler.sync(), `write ${n}`).toBeDefined();
			expect(rig.dump(), `write ${n}`).toBe(model.dump());
		}
	});

	it('what a failed write did not remove is removed by the next try (F-49)', () => {
		const remove = (rig: Rig) => {
			rig.sinks.services.remove('ns/a');
			return rig;
		};
		const model = remove(both()).sync();
		const writes = model.maps.kernel.take().length;
		for (let n = 1; n <= writes; n++) {
			const rig = remove(both());
			rig.maps.kernel.failAt(n);
			// the same sync retries
			expect(rig.reconciler.sync(), `write ${n}`).toBeDefined();
			expect(rig.dump(), `write ${n}`).toBe(model.dump());
		}
	});
});

describe('a change of one field', () => {
	it.each([
		['the port', 2, a({}, [{ ...PORTS[0], port: 81 }])],
		['the nodePort', 0, a({}, [{ ...PORTS[0], nodePort: 30081 }])],
		['the ingress address', 0, a({}, PORTS, '203.0.113.2')],
		['the affinity', 0, a(affine(60))],
		['the affinity’s time-out', 0, a(affine(86_400))],
	])('%s writes that Service’s frontends, and nobody else’s (F-49)', (_field, backends, changed) => {
		const rig = both();
		const before = linesOf(rig, 'ns/b');
		rig.add({ 'ns/a': changed });
		const writes = { backends, goneBackends: backends };
		expect(rig.reconciler.sync()).toMatchObject({ translated: 1, writes });
		expect(linesOf(rig, 'ns/b')).toEqual(before);
		const frontends = written(rig);
		expect(frontends.length).toBeGreaterThan(0);
		const addresses = frontends.map(({ key }) => mapAddressText(frontendKeyCodec.decode(key!).addr));
		expect(addresses).not.toContain('10.96.0.2');
	});

	it('an affinity of a day does not wrap (F-49)', () => {
		const rig = both().add({ 'ns/a': a(affine(86_400)) });
		expect(linesOf(rig.sync(), 'ns/a').every((line) => line.includes(' affinity 86400s '))).toBe(true);
		const [view] = rig.reconciler.services();
		expect(view!.frontends.map((f) => f.affinitySeconds)).toEqual(view!.frontends.map(() => 86_400));
	});
});

describe('one number for several protocols', () => {
	it('TCP and UDP of a number are two ports, of both families, each with its own endpoints (R-A8)', () => {
		const ports = ['TCP', 'UDP'].map((protocol) => ({ name: protocol, port: 53, protocol, nodePort: 30053 }));
		const targets = [
			{ name: 'TCP', port: 5353, protocol: 'TCP' },
			{ name: 'UDP', port: 53, protocol: 'UDP' },
		];
		const dns = service('ns/dns', {
			ips: ['10.96.0.10', 'fd00:10:96::a'],
			ports: [...ports, { name: 'SCTP', port: 53, protocol: 'SCTP', nodePort: 30053 }],
			spec: { type: 'NodePort' },
		});
		const slices = {
			'ns/dns-4': slice('dns', ['10.1.0.1'], targets),
			'ns/dns-6': slice('dns', ['fd00:1::1'], targets),
		};
		const rig = new Rig().add({ 'ns/dns': dns }, slices).listed().sync();
		const [view] = rig.reconciler.services();
		const served = view!.frontends
			.filter(({ scope }) => scope === 'external')
			.map(({ address, protocol, backends }) => `${address}/${protocol} ${backends[0]?.address}`);
		expect(served.sort()).toEqual([
			'10.96.0.10:53/tcp 10.1.0.1:5353',
			'10.96.0.10:53/udp 10.1.0.1:53',
			'192.168.10.11:30053/tcp 10.1.0.1:5353',
			'192.168.10.11:30053/udp 10.1.0.1:53',
			'[fd00:10:96::a]:53/tcp [fd00:1::1]:5353',
			'[fd00:10:96::a]:53/udp [fd00:1::1]:53',
			'[fd00:10::11]:30053/tcp [fd00:1::1]:5353',
			'[fd00:10::11]:30053/udp [fd00:1::1]:53',
		]);
		expect(rig.reconciler.snapshot().problems).toMatchObject([
			{ field: 'spec.ports[2].protocol', message: 'SCTP is unsupported, use TCP or UDP' },
		]);
	});
});
