import packet from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Resolver } from '../../agent/dns/resolver.ts';
import { asker, load, makeZone, queryOf, service, slice } from './dns-rig.ts';

const S = 'default.svc.cluster.local';
const many = Array.from({ length: 100 }, (_, i) => ({ ip: `10.244.1.${i + 1}` }));
const zone = load(makeZone(), [
	service('default/web', { clusterIPs: ['10.96.0.1'], ports: [{ name: 'http', port: 80 }] }),
	service('default/some', { clusterIPs: ['None'] }),
	slice('default/some', many.slice(0, 3)),
	service('default/many', { clusterIPs: ['None'] }),
	slice('default/many', many),
	service('default/thirty', { clusterIPs: ['None'] }),
	slice('default/thirty', many.slice(0, 60)),
]);
const ask = asker(zone);
const resolver = new Resolver({ zone, synced: () => true });
const send = (message: Uint8Array) => resolver.handle(message, 'udp') as Buffer | undefined;
/** Replaces some bytes of a query for web. */
function changed(bytes: Record<number, number>): Buffer {
	const query = queryOf(`web.${S}`, 'A', { edns: 1232 });
	for (const [at, byte] of Object.entries(bytes)) query[Number(at)] = byte;
	return query;
}
const rcode = (message: Buffer | undefined) => message && message[3]! & 0xf;

describe('messages', () => {
	test("names have no case, and the answer keeps the query's (D R-0)", async () => {
		const said = await ask(`wEb.Default.SVC.cluster.LOCAL`, 'A');
		expect(said.texts).toEqual(['10.96.0.1']);
		expect(said.questions[0]?.name).toBe('wEb.Default.SVC.cluster.LOCAL');
		expect(said.answers[0]?.name).toBe('wEb.Default.SVC.cluster.LOCAL');
	});

	test('id, RD and CD come back, AA says that it is our zone, RA that others are asked for the client', async () => {
		const query = queryOf(`web.${S}`, 'A');
		query.writeUInt16BE(0x0110, 2);
		expect(send(query)?.readUInt16BE(0)).toBe(4711);
		expect(send(query)?.readUInt16BE(2)).toBe(0x8590);
		query.writeUInt16BE(0, 2);
		expect(send(query)?.readUInt16BE(2)).toBe(0x8480);
	});

	test('names are compressed', async () => {
		expect((await ask(`web.${S}`, 'A')).length).toBe(12 + 31 + 4 + 16);
		const said = await ask(`missing.${S}`, 'A');
		// compression shares the names of the SOA with the question except for their first labels
		expect(said.length).toBe(12 + 35 + 4 + 2 + 10 + ('kube-dns.kube-system'.length + 3) + 13 + 20);
	});

	test('the addresses of a name take turns', async () => {
		const firsts = [];
		for (let i = 0; i < 3; i++) firsts.push((await ask(`some.${S}`, 'A')).answers[0]?.data);
		expect(firsts.sort()).toEqual(['10.244.1.1', '10.244.1.2', '10.244.1.3']);
	});

	test('what does not fit into 512 octets without EDNS has TC, and comes whole by TCP (D-11)', async () => {
		const cut = await ask(`thirty.${S}`, 'A');
		expect(cut.flag_tc).toBe(true);
		expect(cut.length).toBeLessThanOrEqual(512);
		expect(cut.answers.length).toBe(28);
		const whole = await ask(`thirty.${S}`, 'A', { transport: 'tcp' });
		expect(whole.flag_tc).toBe(false);
		expect(whole.answers.length).toBe(60);
	});

	test('EDNS makes room up to 1232 octets, whatever more the client takes (D-11)', async () => {
		const said = await ask(`thirty.${S}`, 'A', { edns: 1232 });
		expect(said).toMatchObject({ flag_tc: false, additionals: [{ type: 'OPT', udpPayloadSize: 1232 }] });
		expect(said.answers.length).toBe(60);
		for (const [edns, limit] of [
			[4096, 1232],
			[1000, 1000],
			[100, 512],
		]) {
			const cut = await ask(`many.${S}`, 'A', { edns: edns! });
			expect(cut.flag_tc).toBe(true);
			expect(cut.length).toBeLessThanOrEqual(limit!);
			expect(cut.length).toBeGreaterThan(limit! - 16);
			expect(cut.additionals).toHaveLength(1);
		}
	});

	test('additional records that do not fit are left out without TC', async () => {
		const said = await ask(`_http._tcp.some.${S}`, 'SRV');
		expect(said.additionals).toHaveLength(3);
		const full = await ask(`_http._tcp.thirty.${S}`, 'SRV', { transport: 'tcp' });
		expect([full.answers.length, full.additionals.length]).toEqual([60, 60]);
		const name = 'a'.repeat(60);
		const few = load(makeZone(), [
			service('default/few', { clusterIPs: ['None'] }),
			slice(
				'default/few',
				['x', 'y', 'z', 'w'].map((c, i) => ({ ip: `10.0.0.${i}`, hostname: name + c })),
			),
		]);
		const cut = await asker(few)(`_http._tcp.few.${S}`, 'SRV');
		expect(cut.flag_tc).toBe(false);
		expect(cut.answers).toHaveLength(4);
		expect(cut.additionals.length).toBeLessThan(4);
	});

	test('an unknown version of EDNS gets BADVERS', () => {
		const at = queryOf(`web.${S}`, 'A').length + 6;
		const said = packet.decode(send(changed({ [at]: 1 }))!);
		expect(said.additionals[0]).toMatchObject({ type: 'OPT', extendedRcode: 1, ednsVersion: 0 });
		expect(said.answers).toEqual([]);
	});

	test('what is no query gets no answer: a fragment of a header, an answer', () => {
		expect(send(queryOf(`web.${S}`, 'A').subarray(0, 11))).toBeUndefined();
		expect(send(changed({ 2: 0x81 }))).toBeUndefined();
	});

	test('what is wrong in a query is said: FORMERR, NOTIMP, REFUSED', () => {
		expect(rcode(send(changed({ 2: 0x29 })))).toBe(4);
		expect(rcode(send(changed({ 5: 0 })))).toBe(1);
		expect(rcode(send(changed({ 5: 2 })))).toBe(1);
		expect(rcode(send(changed({ 12: 0xc0 })))).toBe(1);
		expect(rcode(send(changed({ 12: 64 })))).toBe(1);
		expect(rcode(send(changed({ 11: 2 })))).toBe(1);
		expect(rcode(send(queryOf(`web.${S}`, 'A').subarray(0, 30)))).toBe(1);
		expect(rcode(send(queryOf(`web.${S}`, 'A', { class: 'CH' })))).toBe(5);
		expect(rcode(send(queryOf('cluster.local', 'AXFR')))).toBe(5);
	});

	test('a label with a dot in it is no two labels', () => {
		const query = queryOf(`web-default.svc.cluster.local`, 'A');
		query[12 + 4] = 0x2e;
		expect(packet.decode(send(query)!)).toMatchObject({
			rcode: 'NXDOMAIN',
			authorities: [{ name: 'cluster.local' }],
		});
	});

	test('any bytes at all are survived, and what is answered can be read', () => {
		const query = queryOf(`_http._tcp.some.${S}`, 'SRV', { edns: 1232 });
		const edits = fc.array(fc.tuple(fc.nat(query.length - 1), fc.nat(255)), { maxLength: 6 });
		const damaged = fc.tuple(edits, fc.nat(query.length)).map(([changes, length]) => {
			const bytes = Buffer.from(query);
			for (const [at, byte] of changes) bytes[at] = byte;
			return bytes.subarray(0, length);
		});
		fc.assert(
			fc.property(fc.oneof(fc.uint8Array({ maxLength: 600 }), damaged), (bytes) => {
				const answer = send(bytes);
				if (!answer) return;
				expect(answer.length).toBeLessThanOrEqual(1232);
				expect(() => packet.decode(answer)).not.toThrow();
			}),
			{ numRuns: 5000 },
		);
	});
});
