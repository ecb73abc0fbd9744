import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { array, bytes, type Codec, u8, u16, u32, u64 } from '../../agent/abi/codec.ts';
import {
	backendCodec,
	connCodec,
	frontendKeyCodec,
	STRUCTS,
	tableChunkCodec,
} from '../../agent/abi/layout.ts';
import { struct } from '../../agent/abi/struct.ts';

const addr = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const zeros = new Uint8Array(16);
const tuple = { saddr: addr, daddr: zeros, sport: 0x1234, dport: 80, proto: 6 };

describe('integer codecs', () => {
	const cases: [Codec<never>, unknown, number[]][] = [
		[u8 as Codec<never>, 0xfe, [0xfe]],
		[u16 as Codec<never>, 0x1234, [0x34, 0x12]],
		[u32 as Codec<never>, 0xfedcba98, [0x98, 0xba, 0xdc, 0xfe]],
		[u64 as Codec<never>, 0x0102030405060708n, [8, 7, 6, 5, 4, 3, 2, 1]],
	];
	it.each(cases)('write little-endian and read back (%#)', (codec, value, expected) => {
		const view = new DataView(new ArrayBuffer(codec.size));
		codec.write(view, 0, value as never);
		expect([...new Uint8Array(view.buffer)]).toEqual(expected);
		expect(codec.read(view, 0)).toBe(value);
	});

	it('encode() and decode() stand alone, and name the type', () => {
		expect([...u32.encode(0x01020304)]).toEqual([4, 3, 2, 1]);
		expect(u32.decode(Uint8Array.of(9, 4, 3, 2, 1).subarray(1))).toBe(0x01020304);
		expect(() => u32.encode(-1)).toThrow('Cannot encode u32: -1 is not an integer');
		expect(() => u16.decode(new Uint8Array(4))).toThrow('Cannot decode u16: expected 2 bytes, got 4');
		expect([...array(u16, 2).encode([1, 2])]).toEqual([1, 0, 2, 0]);
	});

	it.each([
		[u8, 256, '256 is not an integer 0..255'],
		[u16, -1, '-1 is not an integer 0..65535'],
		[u32, 1.5, '1.5 is not an integer 0..4294967295'],
		[u32, undefined, 'undefined is not an integer'],
		[u32, '7', '"7" is not an integer'],
		[u64, 7, '7 is not a bigint'],
		[u64, 2n ** 64n, '18446744073709551616n is not a bigint 0..2^64-1'],
	])('refuse what does not fit (%#)', (codec, value, message) => {
		const view = new DataView(new ArrayBuffer(8));
		expect(() => codec.write(view, 0, value as never)).toThrow(message);
	});
});

describe('struct()', () => {
	it('encode() puts fields at their offsets and zeroes padding', () => {
		const encoded = backendCodec.encode({
			addr,
			port: 8080,
			proto: 6,
			flags: 1,
			generation: 7,
			serviceId: 5,
		});
		expect([...encoded]).toEqual([...addr, 0x90, 0x1f, 6, 0, 1, 0, 0, 0, 7, 0, 0, 0, 5, 0, 0, 0]);
	});

	it('decode() is the inverse of encode(), nested structs included', () => {
		const conn = {
			nat: tuple,
			backendId: 1,
			backendGeneration: 2,
			serviceId: 3,
			flags: 4,
			lastSeen: 5,
			addrDiff: 0xffff,
			portDiff: 6,
			frontendEpoch: 7,
			claim: 0xffffffff,
			slot: 8,
			backendClosedFirst: 1,
			own: { packet: 1, more: 0, fin: 1, rst: 0 },
			peer: { packet: 0, more: 1, fin: 0, rst: 1 },
		};
		expect(connCodec.decode(connCodec.encode(conn))).toEqual(conn);
	});

	it('decode() reads from the middle of a buffer and copies', () => {
		const value = { addr, port: 53, proto: 17, scope: 1 };
		const all = frontendKeyCodec.encodeAll([value, value, value]);
		const part = all.subarray(20, 40);
		const decoded = frontendKeyCodec.decode(part);
		part.fill(0);
		expect(decoded).toEqual(value);
	});

	it('round-trips any frontend key', () => {
		const key = fc.record({
			addr: fc.uint8Array({ minLength: 16, maxLength: 16 }),
			port: fc.nat(65535),
			proto: fc.nat(255),
			scope: fc.nat(1),
		});
		fc.assert(
			fc.property(key, (value) => {
				const decoded = frontendKeyCodec.decode(frontendKeyCodec.encode(value));
				expect({ ...decoded, addr: [...decoded.addr] }).toEqual({ ...value, addr: [...value.addr] });
			}),
		);
	});

	it('encode() names the struct, the field and the bad value', () => {
		const bad = { ...tuple, sport: 70000 };
		expect(() => connCodec.encode({ nat: bad } as never)).toThrow(
			'Cannot encode conn.nat.sport: 70000 is not an integer 0..65535',
		);
		expect(() => frontendKeyCodec.encode({ addr: addr.subarray(4), port: 1, proto: 6, scope: 0 })).toThrow(
			'Cannot encode frontend_key.addr: expected 16 bytes, got 12 bytes',
		);
		const backend = Array.from({ length: 16 }, (_, i) => (i === 3 ? -1 : i));
		expect(() => tableChunkCodec.encode({ backend })).toThrow('Cannot encode table_chunk.backend[3]: -1');
		expect(() => tableChunkCodec.encode({ backend: [1] })).toThrow(
			'expected an array of 16, got an array of 1',
		);
		expect(() => connCodec.encode(undefined as never)).toThrow('Cannot encode conn: expected an object');
	});

	it('decode() refuses a wrong length', () => {
		expect(() => backendCodec.decode(new Uint8Array(31))).toThrow(
			'Cannot decode backend: expected 32 bytes, got 31',
		);
	});

	it('refuses a layout with a hole, an overlap or a wrong size', () => {
		expect(() => struct('s', 8, { a: ['a', 0, u32], b: ['b', 6, u16] })).toThrow('hole or overlap at byte 4');
		expect(() => struct('s', 6, { a: ['a', 0, u32], b: ['b', 2, u32] })).toThrow('hole or overlap at byte 4');
		expect(() => struct('s', 12, { a: ['a', 0, array(u16, 4)] })).toThrow('ends at byte 8, expected 12');
		expect(struct('s', 12, { a: ['a', 0, bytes(4)], b: ['b', 4, u64] }).size).toBe(12);
	});
});

describe('layout', () => {
	it('covers every byte of every struct, keys without hidden padding', () => {
		expect(STRUCTS.map((layout) => layout.type)).toContain('frontend_key');
		for (const layout of STRUCTS) {
			const sum = layout.fields.reduce((total, field) => total + field.size, 0);
			expect([layout.type, sum]).toEqual([layout.type, layout.size]);
		}
	});
});
