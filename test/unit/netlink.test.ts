import { describe, expect, it } from 'vitest';
import {
	attributes,
	dumpRequest,
	errnoOf,
	MessageType,
	messages,
	parseAddress,
	parseLink,
	parseRoute,
	routeRequest,
} from '../../agent/bpf/netlink-message.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

/** Encodes an attribute: length, type, value, padded to four bytes. */
function attribute(type: number, value: Uint8Array): Uint8Array {
	const out = new Uint8Array((4 + value.length + 3) & ~3);
	new DataView(out.buffer).setUint16(0, 4 + value.length, true);
	new DataView(out.buffer).setUint16(2, type, true);
	out.set(value, 4);
	return out;
}
const joined = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const name = (text: string) => new TextEncoder().encode(`${text}\0`);

function message(type: number, flags: number, sequence: number, body: Uint8Array): Uint8Array {
	const out = new Uint8Array((16 + body.length + 3) & ~3);
	const header = new DataView(out.buffer);
	header.setUint32(0, 16 + body.length, true);
	header.setUint16(4, type, true);
	header.setUint16(6, flags, true);
	header.setUint32(8, sequence, true);
	out.set(body, 16);
	return out;
}

/** struct ifinfomsg: family, pad, hardware type, index, flags, change. */
const linkHead = (type: number, index: number, flags: number) =>
	joined(Uint8Array.of(0, 0, type & 0xff, type >> 8), u32(index), u32(flags), u32(0));

describe('messages()', () => {
	it('cuts a datagram at the aligned lengths and keeps type, sequence and the interruption', () => {
		const datagram = joined(
			message(MessageType.NEW_LINK, 2, 7, hex('0102030405')),
			message(MessageType.DONE, 0x10, 7, hex('00000000')),
		);
		expect([...messages(datagram)]).toEqual([
			{ type: MessageType.NEW_LINK, sequence: 7, interrupted: false, body: hex('0102030405') },
			{ type: MessageType.DONE, sequence: 7, interrupted: true, body: hex('00000000') },
		]);
	});

	it.each([
		['shorter than a header', hex('10000000')],
		['a length of zero', new Uint8Array(16)],
		['a length beyond the datagram', message(16, 0, 1, new Uint8Array(8)).subarray(0, 20)],
	])('ends at what is truncated or malformed: %s', (_, datagram) => {
		expect([...messages(datagram)]).toEqual([]);
	});
});

describe('attributes()', () => {
	it('reads unaligned values and clears the flags of the type', () => {
		const bytes = joined(attribute(3, name('eth0')), attribute(0x8000 | 18, hex('aabb')));
		expect(attributes(bytes)).toEqual(
			new Map([
				[3, name('eth0')],
				[18, hex('aabb')],
			]),
		);
	});

	it.each([['0200 0100'], ['ff00 0100 00000000'], ['0000 0000']])('ends at a wrong length: %s', (text) => {
		expect(attributes(hex(text)).size).toBe(0);
	});
});

describe('parseLink()', () => {
	it('reads a pod veth: kind, master, and that its peer is elsewhere', () => {
		const body = joined(
			linkHead(1, 12, 0x11043),
			attribute(3, name('veth1a2b')),
			attribute(4, u32(1450)),
			attribute(1, hex('0a580af40102')),
			attribute(10, u32(5)),
			attribute(18, attribute(1, name('veth'))),
			attribute(37, u32(0)),
			attribute(43, joined(attribute(2, Uint8Array.of(1)), attribute(1, u32(7)))),
		);
		expect(parseLink(body)).toEqual({
			index: 12,
			name: 'veth1a2b',
			kind: 'veth',
			up: true,
			loopback: false,
			ethernet: true,
			mtu: 1450,
			mac: '0a:58:0a:f4:01:02',
			master: 5,
			peerElsewhere: true,
			xdp: 'native',
		});
	});

	it('reads lo: loopback, no kind, no Ethernet', () => {
		const link = parseLink(joined(linkHead(772, 1, 0x49), attribute(3, name('lo'))));
		expect(link).toMatchObject({ name: 'lo', kind: '', up: true, loopback: true, ethernet: false, mac: '' });
	});

	it('reads a VLAN with its parent, and a tun device', () => {
		const vlan = joined(linkHead(1, 9, 0), attribute(5, u32(2)), attribute(18, attribute(1, name('vlan'))));
		expect(parseLink(vlan)).toMatchObject({ kind: 'vlan', parent: 2, ethernet: true });
		expect(parseLink(linkHead(0xfffe, 3, 0))).toMatchObject({ ethernet: false, layer3: true });
	});

	it.each([
		[0, 'none'],
		[2, 'generic'],
		[3, 'other'],
		[4, 'other'],
	])('reads the XDP mode %i as %s', (mode, xdp) => {
		const body = joined(linkHead(1, 2, 0), attribute(43, attribute(2, Uint8Array.of(mode))));
		expect(parseLink(body)).toMatchObject({ xdp });
	});

	it('gives undefined for a message that is too short', () => {
		expect(parseLink(new Uint8Array(15))).toBeUndefined();
	});
});

describe('parseAddress()', () => {
	it('takes the local end of a point-to-point address', () => {
		const body = joined(
			hex('02 20 80 00 03000000'),
			attribute(1, hex('0a000002')),
			attribute(2, hex('0a000001')),
		);
		expect(parseAddress(body)).toEqual({ index: 3, family: 4, address: '10.0.0.1', prefix: 32, scope: 0 });
	});

	it('writes IPv6 as the model does', () => {
		const body = joined(hex('0a 40 80 fd 02000000'), attribute(1, hex('fe80000000000000 00fc00fffe000001')));
		expect(parseAddress(body)).toEqual({
			index: 2,
			family: 6,
			address: 'fe80::fc:ff:fe00:1',
			prefix: 64,
			scope: 253,
		});
	});

	it.each([
		['another family', joined(hex('11 20 00 00 01000000'), attribute(1, hex('0a000001')))],
		['a wrong length', joined(hex('02 20 00 00 01000000'), attribute(1, hex('0a0000')))],
		['no address', hex('02 20 00 00 01000000')],
	])('gives undefined for %s', (_, body) => {
		expect(parseAddress(body)).toBeUndefined();
	});
});

describe('parseRoute()', () => {
	// family, destination bits, source bits, tos, table, protocol, scope, type, flags
	const head = (family: number, bits: number, table = 254, type = 1) =>
		joined(Uint8Array.of(family, bits, 0, 0, table, 3, 0, type), u32(0));

	it('knows a default route of the main table and its device', () => {
		expect(parseRoute(joined(head(2, 0), attribute(4, u32(4))))).toEqual({
			family: 4,
			isDefault: true,
			devices: [4],
			gateway: false,
			isLocal: false,
			isForeign: true,
			destination: new Uint8Array(4),
			prefix: 0,
			source: undefined,
		});
	});

	it('knows a local route, its prefix and the source that it names', () => {
		const body = joined(
			head(2, 24, 255, 2),
			attribute(1, Uint8Array.of(192, 0, 2, 0)),
			attribute(7, Uint8Array.of(192, 0, 2, 1)),
		);
		expect(parseRoute(body)).toMatchObject({
			isLocal: true,
			isForeign: false,
			destination: Uint8Array.of(192, 0, 2, 0),
			prefix: 24,
			source: '192.0.2.1',
		});
	});

	it('takes the route of a device’s own prefix for the kernel’s', () => {
		const body = joined(Uint8Array.of(2, 24, 0, 0, 254, 2, 253, 1), u32(0), attribute(4, u32(4)));
		expect(parseRoute(body)).toMatchObject({ isLocal: false, isForeign: false });
	});

	it('knows whether a router is on the way, of either family', () => {
		const routes = [
			attribute(5, hex('0a000001')),
			attribute(18, hex('0a00 fe800000000000000000000000000001')),
		];
		for (const route of routes)
			expect(parseRoute(joined(head(2, 32), attribute(4, u32(4)), route))?.gateway).toBe(true);
	});

	it('reads every next hop of a multipath route', () => {
		const hop = (index: number) => joined(hex('0800 00 00'), u32(index));
		expect(parseRoute(joined(head(10, 0), attribute(9, joined(hop(2), hop(3)))))?.devices).toEqual([2, 3]);
	});

	it.each([
		['a destination', head(2, 24)],
		['another table', head(2, 0, 100)],
		['an unreachable route', head(10, 0, 254, 7)],
		['a table beyond 255', joined(head(2, 0, 252), attribute(15, u32(1000)))],
	])('takes no other route for a default one: %s', (_, body) => {
		expect(parseRoute(body)?.isDefault).toBe(false);
	});
});

describe('routeRequest()', () => {
	it('asks for the route of one address, with its own family and bits', () => {
		expect(routeRequest(hex('00000000 00000000 0000ffff 0a010009'), 7)).toEqual(
			hex('24000000 1a00 0500 07000000 00000000  02 20 00 00 00000000 00000000  0800 0100 0a010009'),
		);
		expect(routeRequest(hex('fd000000 00000000 00000000 00000009'), 8)).toEqual(
			hex(
				'30000000 1a00 0500 08000000 00000000  0a 80 00 00 00000000 00000000  1400 0100 fd000000 00000000 00000000 00000009',
			),
		);
	});
});

describe('dumpRequest()', () => {
	it('is a request with the dump flags, the body of its kind and the family', () => {
		expect(dumpRequest(MessageType.GET_ROUTE, 9, 6)).toEqual(
			joined(hex('1c000000 1a00 0103 09000000 00000000'), hex('0a'), new Uint8Array(11)),
		);
		expect(dumpRequest(MessageType.GET_LINK, 1).length).toBe(32);
	});
});

describe('errnoOf()', () => {
	it.each([
		['00000000', 0],
		['ffffffff', 1],
		['', 0],
	])('reads %s as errno %i', (text, errno) => {
		expect(errnoOf(hex(text))).toBe(errno);
	});
});
