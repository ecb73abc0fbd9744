import { describe, expect, test } from 'vitest';
import type { Manifest } from '../golden/case.ts';
import { asker, dataText, load, makeZone, service, slice } from './dns-rig.ts';

const NS: Manifest[] = ['default', 'kube-system', 'empty'].map((name) => ({
	kind: 'Namespace',
	metadata: { name },
}));
const PORTS = [
	{ name: 'http', port: 80, protocol: 'TCP' },
	{ name: 'dns', port: 53, protocol: 'UDP' },
	{ port: 9, protocol: 'TCP' },
];
const OBJECTS: Manifest[] = [
	...NS,
	service('kube-system/kube-dns', { clusterIPs: ['10.96.0.10', 'fd00:10:96::a'], ports: [{ port: 53 }] }),
	service('default/v4', { clusterIPs: ['10.96.0.1'], ports: PORTS }),
	service('default/dual', {
		clusterIPs: ['10.96.0.2', 'fd00:10:96::2'],
		ports: [{ name: 'http', port: 80 }],
	}),
	service('default/pods', { clusterIPs: ['None'], ports: [] }),
	slice(
		'default/pods',
		[{ ip: '172.0.0.2' }, { ip: '172.0.0.3', hostname: 'web-1' }, { ip: '172.0.0.4', ready: false }],
		[
			{ name: 'http', port: 8080 },
			{ name: 'dns', port: 53, protocol: 'UDP' },
		],
	),
	slice('default/pods', [{ ip: '5678:abcd::1' }, { ip: '172.0.0.2' }], [{ name: 'http', port: 8080 }], 'b'),
	service('default/unready', { clusterIPs: ['None'], publishNotReadyAddresses: true }),
	slice('default/unready', [{ ip: '172.0.1.1' }, { ip: '172.0.1.2', ready: false }]),
	service('default/none', { clusterIPs: ['None'] }),
	slice('default/none', [{ ip: '172.0.2.1', ready: false }]),
	service('default/same', { clusterIPs: ['None'] }),
	slice('default/same', [
		{ ip: '172.0.3.1', hostname: 'one' },
		{ ip: '172.0.3.2', hostname: 'one' },
	]),
	service('default/hdlsprtls', { clusterIPs: ['None'] }),
	slice('default/hdlsprtls', [{ ip: '172.0.0.20' }], []),
	service('default/away', { type: 'ExternalName', externalName: 'Foo.Example.com.' }),
	service('default/near', { type: 'ExternalName', externalName: 'dual.default.svc.cluster.local' }),
	service('default/loop', { type: 'ExternalName', externalName: 'loop.default.svc.cluster.local' }),
];

const zone = () => load(makeZone(), OBJECTS);
const ask = asker(zone());
const S = 'default.svc.cluster.local';
const answers = async (name: string, type: string) => (await ask(name, type)).texts;

/** A negative answer: its code, and its SOA, which gives the caching time. */
async function negative(name: string, type: string) {
	const { rcode, texts, authorities } = await ask(name, type);
	expect(
		authorities.map((record) => [record.type, record.ttl, (record.data as { minimum: number }).minimum]),
	).toEqual([['SOA', 5, 5]]);
	expect(texts).toEqual([]);
	return rcode;
}

describe('a ClusterIP Service (D R-1)', () => {
	test('has an address of each of its families, and NODATA in the other', async () => {
		expect(await answers(`v4.${S}`, 'A')).toEqual(['10.96.0.1']);
		expect(await negative(`v4.${S}`, 'AAAA')).toBe('NOERROR');
		expect(await answers(`dual.${S}`, 'A')).toEqual(['10.96.0.2']);
		expect(await answers(`dual.${S}`, 'AAAA')).toEqual(['fd00:10:96::2']);
	});

	test('has a SRV record for each named port, with the addresses of its target beside', async () => {
		const said = await ask(`_http._tcp.dual.${S}`, 'SRV');
		expect(said.texts).toEqual([`0 100 80 dual.${S}.`]);
		expect(said.additionals.map(dataText)).toEqual(['10.96.0.2', 'fd00:10:96::2']);
		expect(await answers(`_dns._udp.v4.${S}`, 'SRV')).toEqual([`0 100 53 v4.${S}.`]);
	});

	test('has all its ports at its bare name (D-04)', async () => {
		expect(await answers(`v4.${S}`, 'SRV')).toEqual([
			`0 33 53 v4.${S}.`,
			`0 33 80 v4.${S}.`,
			`0 33 9 v4.${S}.`,
		]);
	});

	test('is found by its addresses of both families', async () => {
		expect(await answers('2.0.96.10.in-addr.arpa', 'PTR')).toEqual([`dual.${S}.`]);
		const nibbles = '2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f';
		expect(await answers(`${nibbles}.ip6.arpa`, 'PTR')).toEqual([`dual.${S}.`]);
	});

	test('the version of the specification is a TXT record (D-03)', async () => {
		expect(await answers('dns-version.cluster.local', 'TXT')).toEqual(['1.1.0']);
		expect(await negative('dns-version.cluster.local', 'A')).toBe('NOERROR');
	});
});

describe('a headless Service (D R-2)', () => {
	test('has the addresses of its ready endpoints, each once', async () => {
		expect(await answers(`pods.${S}`, 'A')).toEqual(['172.0.0.2', '172.0.0.3']);
		expect(await answers(`pods.${S}`, 'AAAA')).toEqual(['5678:abcd::1']);
	});

	test('each endpoint has a name: its hostname, else its address with dashes', async () => {
		expect(await answers(`172-0-0-2.pods.${S}`, 'A')).toEqual(['172.0.0.2']);
		expect(await answers(`web-1.pods.${S}`, 'A')).toEqual(['172.0.0.3']);
		expect(await answers(`5678-abcd--1.pods.${S}`, 'AAAA')).toEqual(['5678:abcd::1']);
		expect(await negative(`5678-abcd--1.pods.${S}`, 'A')).toBe('NOERROR');
		expect(await negative(`172-0-0-4.pods.${S}`, 'A')).toBe('NXDOMAIN');
		expect(await negative(`172-0-0-3.pods.${S}`, 'A')).toBe('NXDOMAIN');
	});

	test('each of 2 ports has a SRV record for each of its endpoints', async () => {
		expect(await answers(`_http._tcp.pods.${S}`, 'SRV')).toEqual([
			`0 33 8080 172-0-0-2.pods.${S}.`,
			`0 33 8080 5678-abcd--1.pods.${S}.`,
			`0 33 8080 web-1.pods.${S}.`,
		]);
		expect(await answers(`_dns._udp.pods.${S}`, 'SRV')).toEqual([
			`0 50 53 172-0-0-2.pods.${S}.`,
			`0 50 53 web-1.pods.${S}.`,
		]);
	});

	test('its endpoints are found by their addresses', async () => {
		expect(await answers('3.0.0.172.in-addr.arpa', 'PTR')).toEqual([`web-1.pods.${S}.`]);
		expect(await answers('2.0.0.172.in-addr.arpa', 'PTR')).toEqual([`172-0-0-2.pods.${S}.`]);
		expect(await negative('4.0.0.172.in-addr.arpa', 'PTR')).toBe('NXDOMAIN');
	});

	test('publishNotReadyAddresses adds the others', async () => {
		expect(await answers(`unready.${S}`, 'A')).toEqual(['172.0.1.1', '172.0.1.2']);
	});

	test('without a ready endpoint it has no name', async () => {
		for (const name of ['none', '172-0-2-1.none', '_http._tcp.none']) {
			expect(await negative(`${name}.${S}`, 'A')).toBe('NXDOMAIN');
		}
	});

	test('two endpoints with one hostname are one name, two addresses and one SRV target', async () => {
		expect(await answers(`one.same.${S}`, 'A')).toEqual(['172.0.3.1', '172.0.3.2']);
		const said = await ask(`_http._tcp.same.${S}`, 'SRV');
		expect(said.texts).toEqual([`0 100 80 one.same.${S}.`]);
		expect(said.additionals.map(dataText).sort()).toEqual(['172.0.3.1', '172.0.3.2']);
	});

	test('without a port it has addresses and no SRV record (D-06)', async () => {
		expect(await answers(`hdlsprtls.${S}`, 'A')).toEqual(['172.0.0.20']);
		expect(await negative(`hdlsprtls.${S}`, 'SRV')).toBe('NOERROR');
		expect(await negative(`_http._tcp.hdlsprtls.${S}`, 'SRV')).toBe('NXDOMAIN');
	});
});

describe('what is not there (D R-3)', () => {
	const names = ['cluster.local', 'svc.cluster.local', S, 'empty.svc.cluster.local', `_tcp.v4.${S}`];
	test.each(names)('%s exists and has no addresses: NODATA', async (name) => {
		expect(await negative(name, 'A')).toBe('NOERROR');
	});

	const missing = [
		`missing.${S}`,
		'v4.missing.svc.cluster.local',
		'missing.svc.cluster.local',
		`_http._udp.v4.${S}`,
		`_https._tcp.v4.${S}`,
		`_._tcp.v4.${S}`,
		`a.v4.${S}`,
		`*.${S}`,
		`any.${S}`,
		'nothing.cluster.local',
	];
	test.each(missing)('%s does not exist: NXDOMAIN', async (name) => {
		for (const type of ['A', 'SRV', 'TXT']) expect(await negative(name, type)).toBe('NXDOMAIN');
	});

	test('pods have no records of their own, and their zone does not exist (D R-5)', async () => {
		expect(await negative('172-0-0-2.default.pod.cluster.local', 'A')).toBe('NXDOMAIN');
	});

	test('ANY is answered with one set of records, not with all (RFC 8482)', async () => {
		expect((await ask(`dual.${S}`, 'ANY')).answers.map(({ type }) => type)).toEqual(['A']);
		expect((await ask(`away.${S}`, 'ANY')).answers.map(({ type }) => type)).toEqual(['CNAME']);
		expect((await ask('cluster.local', 'ANY')).answers.map(({ type }) => type)).toEqual(['SOA']);
		expect(await negative(S, 'ANY')).toBe('NOERROR');
	});

	test('the zone has a name server with addresses, and a SOA', async () => {
		const said = await ask('cluster.local', 'NS');
		expect(said.texts).toEqual(['kube-dns.kube-system.svc.cluster.local.']);
		expect(said.additionals.map(dataText)).toEqual(['10.96.0.10', 'fd00:10:96::a']);
		expect((await ask('cluster.local', 'SOA')).answers).toMatchObject([
			{
				name: 'cluster.local',
				data: { mname: 'kube-dns.kube-system.svc.cluster.local', serial: 1_700_000_000 },
			},
		]);
	});
});

describe('an ExternalName Service (D R-4)', () => {
	test('is an alias, for whatever is asked', async () => {
		for (const type of ['A', 'AAAA', 'CNAME', 'TXT']) {
			expect(await answers(`away.${S}`, type)).toEqual(['foo.example.com.']);
		}
	});

	test('has nothing below it', async () => {
		expect(await negative(`_http._tcp.away.${S}`, 'SRV')).toBe('NXDOMAIN');
		expect(await negative(`a.away.${S}`, 'A')).toBe('NXDOMAIN');
	});

	test('an alias within the zone is followed', async () => {
		const said = await ask(`near.${S}`, 'A');
		expect(said.answers.map((record) => [record.name, record.type, record.data])).toEqual([
			[`near.${S}`, 'CNAME', `dual.${S}`],
			[`dual.${S}`, 'A', '10.96.0.2'],
		]);
		expect((await ask(`near.${S}`, 'TXT')).authorities.map(({ type }) => type)).toEqual(['SOA']);
	});

	test('an alias of itself ends', async () => {
		expect(await answers(`loop.${S}`, 'A')).toEqual([`loop.${S}.`]);
	});
});

describe('names of others (D R-5)', () => {
	test('are refused without a server to ask, never said not to exist', async () => {
		for (const name of ['example.com', 'local', 'xcluster.local', 'in-addr.arpa', 'x']) {
			expect(await ask(name, 'A')).toMatchObject({ rcode: 'REFUSED', flag_aa: false, authorities: [] });
		}
	});

	test('addresses outside the ranges that are ours may have a name elsewhere', async () => {
		const some = asker(load(makeZone(['10.96.0.0/12', 'fd00::/7']), OBJECTS));
		expect(await some('9.9.9.9.in-addr.arpa', 'PTR')).toMatchObject({ rcode: 'REFUSED' });
		expect(await some('3.0.0.172.in-addr.arpa', 'PTR')).toMatchObject({ texts: [`web-1.pods.${S}.`] });
		const own = [
			['9.9.97.10.in-addr.arpa', 'NXDOMAIN', '97.10.in-addr.arpa'],
			['x.9.9.97.10.in-addr.arpa', 'NXDOMAIN', '97.10.in-addr.arpa'],
			['9.97.10.in-addr.arpa', 'NOERROR', '97.10.in-addr.arpa'],
			['1.0.d.f.ip6.arpa', 'NOERROR', 'd.f.ip6.arpa'],
		];
		for (const [name = '', rcode, owner] of own) {
			const said = await some(name, 'PTR');
			expect([said.rcode, said.authorities.map((soa) => soa.name)]).toEqual([rcode, [owner]]);
		}
		expect(await some('10.in-addr.arpa', 'NS')).toMatchObject({ rcode: 'REFUSED' });
	});
});
