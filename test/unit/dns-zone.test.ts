import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NameRecords } from '../../agent/dns/record.ts';
import { parseDnsService } from '../../agent/dns/service.ts';
import type { Zone } from '../../agent/dns/zone.ts';
import { parseEndpointSlice } from '../../agent/model/endpoints.ts';
import { asker, load, makeZone, service, slice } from './dns-rig.ts';

const S = 'default.svc.cluster.local';

/** The records of the zone for every name that these tests give a Service. */
function everything(zone: Zone): unknown {
	const labels = ['a', 'b', 'h0.a', 'h1.a', '10-0-0-0.b', '_p._tcp.a', '_tcp.a', '_q._udp.b', '_udp.b'];
	const names = labels.flatMap((label) => ['ns', 'other'].map((ns) => `${label}.${ns}.svc.cluster.local`));
	const all = [...names, 'ns.svc.cluster.local', 'other.svc.cluster.local', 'svc.cluster.local'];
	const addresses = Array.from({ length: 4 }, (_, i) => [`10.0.0.${i}`, `10.96.0.${i}`]).flat();
	return [
		all.map((name) => [name, sorted(zone.find(name))]),
		addresses.map((address) => [...zone.namesOf(address)].sort()),
		zone.size,
	];
}

/**
 * Sorts the records, because their order depends on the order in which endpoint objects changed.
 */
function sorted(records: NameRecords | undefined): unknown {
	return (
		records && [
			records.a.map(String).sort(),
			records.srv.map((srv) => JSON.stringify(srv)).sort(),
			records.cname,
		]
	);
}

const endpoints = fc.array(
	fc.record({ host: fc.nat(3), named: fc.boolean(), ready: fc.boolean() }, { noNullPrototype: true }),
);
const objects = fc.record({
	key: fc.constantFrom('ns/a', 'ns/b', 'other/a'),
	kind: fc.constantFrom('none', 'clusterip', 'headless', 'external'),
	ports: fc.subarray([
		{ name: 'p', port: 80 },
		{ name: 'q', port: 53, protocol: 'UDP' },
	]),
	slices: fc.array(endpoints, { maxLength: 3 }),
	address: fc.nat(3),
});
type Change = typeof objects extends fc.Arbitrary<infer T> ? T : never;

/** Caches values like the store, so that unchanged objects keep their identity. */
function memo<T>() {
	const known = new Map<string, T>();
	return (key: unknown, make: () => T): T => {
		const text = JSON.stringify(key);
		if (!known.has(text)) known.set(text, make());
		return known.get(text)!;
	};
}

function applier(zone: Zone): (change: Change) => void {
	const services = memo<ReturnType<typeof parseDnsService>>();
	const sources = memo<ReturnType<typeof parseEndpointSlice>['value']>();
	return ({ key, kind, ports, slices, address }) => {
		const spec = {
			none: undefined,
			clusterip: { clusterIPs: [`10.96.0.${address}`], ports },
			headless: { clusterIPs: ['None'], ports },
			external: { type: 'ExternalName', externalName: `b.ns.svc.cluster.local` },
		}[kind];
		const own = slices.map((found, i) =>
			sources([key, i, ports, found], () => {
				const listed = found.map(({ host, named, ready }) => {
					return { ip: `10.0.0.${host}`, ready, ...(named && { hostname: `h${host & 1}` }) };
				});
				return parseEndpointSlice(slice(key, listed, ports, String(i)), `${key}-${i}`).value;
			}),
		);
		zone.setService(key, spec && services([key, spec], () => parseDnsService(service(key, spec), key)), own);
	};
}

describe('Zone', () => {
	test('is after any changes what it would be if only the last of each had come', () => {
		fc.assert(
			fc.property(fc.array(objects, { maxLength: 12 }), (changes) => {
				const [changed, fresh] = [makeZone(), makeZone()];
				changes.forEach(applier(changed));
				[...new Map(changes.map((change) => [change.key, change])).values()].forEach(applier(fresh));
				expect(everything(changed)).toEqual(everything(fresh));
			}),
			{ numRuns: 500 },
		);
	});

	test('an endpoint object that changes leaves the records of the others alone', () => {
		const zone = makeZone();
		const headless = parseDnsService(service('ns/a', { clusterIPs: ['None'] }), 'ns/a');
		const source = (id: string, ip: string) =>
			parseEndpointSlice(slice('ns/a', [{ ip }], [], id), `ns/a-${id}`).value;
		const first = source('a', '10.0.0.1');
		zone.setService('ns/a', headless, [first, source('b', '10.0.0.2')]);
		const before = zone.find('10-0-0-1.a.ns.svc.cluster.local');
		zone.setService('ns/a', headless, [first, source('b', '10.0.0.3')]);
		expect(zone.find('10-0-0-1.a.ns.svc.cluster.local')).toBe(before);
		expect(zone.find('a.ns.svc.cluster.local')?.a.map(String).sort()).toEqual(['10,0,0,1', '10,0,0,3']);
	});

	test('a Service that goes takes its names and its addresses with it, and a new one has them at once (D-09)', async () => {
		const zone = makeZone();
		const ask = asker(zone);
		const rcodes = async () =>
			(await Promise.all([ask(`web.${S}`, 'A'), ask('7.0.96.10.in-addr.arpa', 'PTR')])).map((r) => r.rcode);
		load(zone, [service('default/web', { clusterIPs: ['10.96.0.7'] })]);
		expect(await rcodes()).toEqual(['NOERROR', 'NOERROR']);
		zone.setService('default/web', undefined, []);
		expect(await rcodes()).toEqual(['NXDOMAIN', 'NXDOMAIN']);
	});

	test('an endpoint that comes back with another address is found there, and not by the old one (D-10)', async () => {
		const zone = makeZone();
		const ask = asker(zone);
		const set = service('default/nginx', { clusterIPs: ['None'] });
		const pod = (ip: string) => slice('default/nginx', [{ ip, hostname: 'web-0' }]);
		load(zone, [set, pod('10.244.1.2')]);
		load(zone, [set, pod('10.244.1.3')]);
		expect((await ask(`web-0.nginx.${S}`, 'A')).texts).toEqual(['10.244.1.3']);
		expect((await ask('3.1.244.10.in-addr.arpa', 'PTR')).texts).toEqual([`web-0.nginx.${S}.`]);
		expect((await ask('2.1.244.10.in-addr.arpa', 'PTR')).rcode).toBe('NXDOMAIN');
	});

	test('a namespace exists while it does', async () => {
		const zone = makeZone();
		const ask = asker(zone);
		zone.setNamespace('empty', true);
		expect((await ask('empty.svc.cluster.local', 'A')).rcode).toBe('NOERROR');
		zone.setNamespace('empty', false);
		expect((await ask('empty.svc.cluster.local', 'A')).rcode).toBe('NXDOMAIN');
	});

	test('nothing is said of any name before all of them are known (D R-0)', async () => {
		const ask = asker(load(makeZone(), [service('default/web', {})]), { synced: () => false });
		for (const name of [`web.${S}`, 'example.com', 'cluster.local']) {
			expect(await ask(name, 'A')).toMatchObject({ rcode: 'SERVFAIL', authorities: [] });
		}
	});
});
