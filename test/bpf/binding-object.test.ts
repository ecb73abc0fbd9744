import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { STRUCTS } from '../../agent/abi/layout.ts';
import type { StructCodec, StructLayout } from '../../agent/abi/struct.ts';
import { BpfError } from '../../agent/bpf/error.ts';
import { openPinnedMap } from '../../agent/bpf/kernel-map.ts';
import { BpfObject } from '../../agent/bpf/object.ts';
import { LoadError } from '../../agent/bpf/verifier-log.ts';
import { compile, compileFile, copySource, FFIS, natives, workspace } from './binding-setup.ts';

const work = workspace('object');
const all = natives();
const frame = new Uint8Array(64).fill(1);
let file: string;
let copies: string;

beforeAll(() => {
	file = compile('hooks.bpf.c', work.folder);
	const source = join(work.folder, 'copies.bpf.c');
	writeFileSync(source, copySource(STRUCTS));
	copies = compileFile(source, join(work.folder, 'copies.bpf.o'));
});
afterAll(() => {
	for (const native of all.values()) native.log.close();
	work.remove();
});

const u32 = (n: number) => new Uint8Array(Uint32Array.of(n).buffer);

function thrown(action: () => unknown): Error {
	try {
		action();
	} catch (error) {
		return error as Error;
	}
	throw new Error('Expected an error, but nothing was thrown');
}

/** Adds one to every integer as the program does. Byte arrays stay as they are. */
function next(value: unknown): unknown {
	if (typeof value === 'number') return value + 1;
	if (typeof value === 'bigint') return value + 1n;
	if (value instanceof Uint8Array) return value;
	if (Array.isArray(value)) return value.map(next);
	return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, next(item)]));
}

describe.each(FFIS)('BpfObject by %s', (ffi) => {
	const native = all.get(ffi)!;

	it.each(STRUCTS.map((layout): [string, StructLayout] => [layout.type, layout]))(
		'every field of struct %s comes back from a program',
		(name, layout) => {
			const codec = layout as StructCodec<object>;
			using object = BpfObject.open(native, copies);
			object.load();
			const map = object.map(`copy_${name}`);
			const bytes = Uint8Array.from({ length: codec.size }, (_, i) => (i * 7 + 1) & 0xfe);
			const value = codec.decode(bytes);
			map.update(u32(0), codec.encode(value));
			expect(object.program(`run_${name}`).testRun({ data: frame }).retval).toBe(0);
			expect(codec.decode(map.lookup(u32(1))!)).toEqual(next(value));
		},
	);

	it('setRodata() sets variables by name', () => {
		using object = BpfObject.open(native, file);
		object.setRodata({
			wide: 3n << 32n,
			answer: 1000,
			port: 65535,
			small: 9,
			blob: Uint8Array.of(0, 0, 0, 30),
		});
		object.load();
		expect(object.program('variables').testRun({ data: frame }).retval).toBe(1000 + 65535 + 9 + 30 + 3);
	});

	it('keeps the values of the source without setRodata()', () => {
		using object = BpfObject.open(native, file);
		object.setRodata({});
		object.load();
		expect(object.program('variables').testRun({ data: frame }).retval).toBe(7 + 80 + 2 + 4);
	});

	it('setRodata() names the variable that is unknown or does not fit', () => {
		using object = BpfObject.open(native, file);
		expect(object.hasRodata('answer')).toBe(true);
		expect(thrown(() => object.setRodata({ nope: 1 })).message).toMatch(
			/^Cannot set nope in hooks\.bpf\.o: it has no such variable; it has .*answer/,
		);
		expect(thrown(() => object.setRodata({ port: 65536 })).message).toBe(
			'Cannot set port in hooks.bpf.o: 65536 is not an integer 0..65535',
		);
		expect(thrown(() => object.setRodata({ wide: 1 })).message).toContain('1 is not a bigint');
	});

	it('setAutoload() leaves programs out', () => {
		using object = BpfObject.open(native, file);
		object.setAutoload('connect', false);
		object.load();
		expect(object.programNames).toContain('connect');
		expect(thrown(() => object.program('connect')).message).toContain('it was not to be loaded');
		expect(object.program('pass').section).toBe('xdp');
	});

	it('load() fails with the program and the last lines of the verifier', () => {
		using object = BpfObject.open(native, file);
		object.setAutoload('refused', true);
		const error = thrown(() => object.load()) as LoadError;
		expect(error).toBeInstanceOf(LoadError);
		expect(error.message).toMatch(/^Cannot load program refused of hooks\.bpf\.o: E/);
		expect(error.message).toMatch(/invalid access to packet|R\d invalid mem access/);
		expect(error.log).toContain('BEGIN PROG LOAD LOG');
	});

	it('open() says why a file is not an object', () => {
		expect(thrown(() => BpfObject.open(native, join(work.folder, 'absent.o'))).message).toMatch(/ENOENT/);
		const text = join(work.folder, 'text.o');
		writeFileSync(text, 'this is no object');
		expect(thrown(() => BpfObject.open(native, text))).toBeInstanceOf(BpfError);
	});

	it('pins nothing unless told where, and shares what is pinned', () => {
		const directory = join(work.pins, `share-${ffi}`, 'v1');
		using first = BpfObject.open(native, file);
		first.pinMapsUnder(directory);
		first.load();
		using second = BpfObject.open(native, file);
		second.pinMapsUnder(directory);
		second.load();
		second.program('variables').testRun({ data: frame });
		using pinned = openPinnedMap(native, join(directory, 'counters'), 'counters')!;
		expect(pinned.info.id).toBe(first.map('counters').info.id);
		const total = new BigUint64Array(pinned.lookup(u32(0))!.buffer).reduce((sum, n) => sum + n, 0n);
		expect(total).toBe(1n + 64n);
		using third = BpfObject.open(native, file);
		third.load();
		expect(third.map('counters').info.id).not.toBe(pinned.info.id);
		using root = openPinnedMap(native, '/sys/fs/bpf/counters');
		expect(root?.info.id).not.toBe(third.map('counters').info.id);
	});

	it('load() names the pinned map that does not fit, what differs and the remedy', () => {
		const directory = join(work.pins, `differs-${ffi}`);
		using first = BpfObject.open(native, file);
		first.pinMapsUnder(directory);
		first.load();
		using second = BpfObject.open(native, file);
		second.pinMapsUnder(directory);
		second.setMaxEntries('counters', 9);
		expect(thrown(() => second.load()).message).toBe(
			`Cannot reuse map counters pinned at ${directory}/counters: EINVAL (maxEntries is 2, wanted 9; ` +
				'start with the same settings, or run `maglane cleanup` first)',
		);
	});

	it('names what is asked for and not there, and refuses use before load and after close', () => {
		const object = BpfObject.open(native, file);
		expect(thrown(() => object.map('counters')).message).toContain('hooks.bpf.o is not loaded');
		object.load();
		expect(thrown(() => object.map('nope')).message).toMatch(
			/^Cannot find map nope: ENOENT \(.* has .*counters/,
		);
		expect(thrown(() => object.setMaxEntries('counters', 4)).message).toContain('it is loaded');
		object.close();
		object.close();
		expect(thrown(() => object.program('pass')).message).toContain('is closed');
	});
});

describe.each(FFIS)('Program.testRun() by %s', (ffi) => {
	const native = all.get(ffi)!;
	let object: BpfObject;
	beforeAll(() => {
		object = BpfObject.open(native, file);
		object.load();
	});
	afterAll(() => object.close());

	it('gives verdict, packet and time', () => {
		const result = object.program('grow').testRun({ data: frame, repeat: 1 });
		expect([result.retval, result.data.length, result.data[0]]).toEqual([1, 68, 0xee]);
		expect([...result.data.subarray(4)]).toEqual([...frame]);
		expect(object.program('pass').testRun({ data: frame, repeat: 1000 }).durationNs).toBeLessThan(100_000);
	});

	it('passes devices in the context', () => {
		const pass = object.program('pass');
		expect(pass.testRun({ data: frame, context: { kind: 'xdp', ingressIfindex: 1 } }).retval).toBe(2);
		const skb = { kind: 'skb', ifindex: 1, ingressIfindex: 1 } as const;
		const result = object.program('context').testRun({ data: frame, context: skb });
		expect(result.retval).toBe(1);
		expect(new DataView(result.context.buffer).getUint32(8, true)).toBe(1);
	});

	it('refuses frames that are too short', () => {
		const run = () => object.program('pass').testRun({ data: new Uint8Array(4) });
		expect(thrown(run).message).toMatch(/^Cannot run program pass: EINVAL/);
	});
});
