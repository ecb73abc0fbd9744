import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { TABLE_SEGMENT_CHUNKS, TABLE_SEGMENTS, tableChunkCodec } from '../../agent/abi/layout.ts';
import { FakeKernel, FakeTableSegments } from '../../agent/bpf/fake.ts';
import { KernelMap, openPinnedMap } from '../../agent/bpf/kernel-map.ts';
import { BpfObject } from '../../agent/bpf/object.ts';
import type { TableSegments } from '../../agent/bpf/port.ts';
import { KernelTableSegments } from '../../agent/bpf/table-segments.ts';
import { compile, FFIS, natives, workspace } from './binding-setup.ts';

const work = workspace('segments');
const all = natives();
const frame = new Uint8Array(64);
let file: string;
const cleanup: (() => void)[] = [];

beforeAll(() => {
	file = compile('segments.bpf.c', work.folder);
});
afterEach(() => {
	for (const close of cleanup.splice(0).reverse()) close();
});
afterAll(() => {
	for (const native of all.values()) native.log.close();
	work.remove();
});

const u32 = (n: number) => new Uint8Array(Uint32Array.of(n).buffer);
const chunk = (first: number) =>
	tableChunkCodec.encode({ backend: Array.from({ length: 16 }, (_, i) => first + i) });

/** Loads an object with the outer map, pinned in its own directory. */
function loaded(ffi: 'koffi' | 'ffi-napi', name: string) {
	const native = all.get(ffi)!;
	const directory = join(work.pins, `${ffi}-${name}`);
	const object = BpfObject.open(native, file);
	cleanup.push(() => object.close());
	object.pinMapsUnder(directory);
	object.load();
	const open = () => {
		const segments = new KernelTableSegments(native, object.map('tables'), directory);
		cleanup.push(() => segments.close());
		return segments;
	};
	return { native, directory, object, open };
}

const makes: [string, (name: string) => TableSegments][] = [
	['fake', () => new FakeTableSegments(new FakeKernel())],
	...FFIS.map((ffi): [string, (name: string) => TableSegments] => [ffi, (name) => loaded(ffi, name).open()]),
];

describe.each(makes)('TableSegments contract: %s', (_, make) => {
	it('starts empty, grows by segments of chunks, and gives them by number', () => {
		const segments = make('contract');
		expect([segments.count, segments.chunks, segments.limit]).toEqual([
			0,
			TABLE_SEGMENT_CHUNKS,
			TABLE_SEGMENTS,
		]);
		const first = segments.grow();
		expect([first.name, first.keySize, first.valueSize, first.maxEntries]).toEqual([
			'tables_0',
			4,
			64,
			16384,
		]);
		segments.grow();
		expect(segments.count).toBe(2);
		segments.segment(1).update(u32(16383), chunk(100));
		expect(segments.segment(1).lookup(u32(16383))).toEqual(chunk(100));
		expect(segments.segment(0).lookup(u32(16383))).toEqual(new Uint8Array(64));
		expect(() => segments.segment(2)).toThrow('Cannot open map tables_2: ENOENT');
		expect(() => first.update(u32(16384), chunk(0))).toThrow('E2BIG');
	});
});

describe.each(FFIS)('KernelTableSegments by %s', (ffi) => {
	it('programs read what is written', () => {
		const { object, open } = loaded(ffi, 'read');
		const segments = open();
		segments.grow();
		segments.grow().update(u32(5), chunk(1000));
		const slot = 3;
		object.map('wanted').update(u32(0), u32((1 << 16) | 5));
		object.map('wanted').update(u32(1), u32(slot));
		expect(object.program('lookup').testRun({ data: frame }).retval).toBe(1003);
		object.map('wanted').update(u32(0), u32((2 << 16) | 5));
		expect(object.program('lookup').testRun({ data: frame }).retval).toBe(0xffffffff);
	});

	it('adopts what is pinned, and links a segment that a crash left unlinked', () => {
		const { native, directory, object, open } = loaded(ffi, 'adopt');
		const first = open();
		first.grow();
		first.grow().update(u32(0), chunk(7));
		first.close();
		expect(object.map('tables').delete(u32(1))).toBe(true);
		const second = open();
		expect(second.count).toBe(2);
		expect(second.segment(1).lookup(u32(0))).toEqual(chunk(7));
		object.map('wanted').update(u32(0), u32(1 << 16));
		object.map('wanted').update(u32(1), u32(0));
		expect(object.program('lookup').testRun({ data: frame }).retval).toBe(7);
		using pinned = openPinnedMap(native, join(directory, 'tables_1'));
		expect(pinned?.name).toBe('tables_1');
	});

	it('makes segments without types where the kernel links none with them (5.15 to 6.2)', () => {
		const { native, directory, object, open } = loaded(ffi, 'typeless');
		const tables = object.map('tables');
		const answers: number[] = [];
		const bpf_map_update_elem: typeof native.call.bpf_map_update_elem = (...args) => {
			answers.push(answers.length === 0 ? -22 : native.call.bpf_map_update_elem(...args));
			return answers.at(-1)!;
		};
		const old = { ...native, call: { ...native.call, bpf_map_update_elem } };
		const segments = new KernelTableSegments(old, new KernelMap(old, tables.fd, { owned: false }), directory);
		cleanup.push(() => segments.close());
		for (const i of [0, 1]) segments.grow().update(u32(0), chunk(7 + i));
		using first = openPinnedMap(native, join(directory, 'tables_0'));
		expect([first?.info.btfId, first?.lookup(u32(0))]).toEqual([0, chunk(7)]);
		// the refused call, the link of each segment, the update of each segment
		expect(answers).toEqual([-22, 0, 0, 0, 0]);
		expect(open().count).toBe(2);
	});

	it('refuses a pinned segment of another size, with the remedy', () => {
		const { native, directory, open } = loaded(ffi, 'refuse');
		const fd = native.call.bpf_map_create(2, 'odd', 4, 64, 7, null);
		expect(native.call.bpf_obj_pin(fd, join(directory, 'tables_0'))).toBe(0);
		native.call.close(fd);
		expect(() => open()).toThrow(
			/^Cannot adopt map tables_0: EINVAL \(it has 7 entries of 64 bytes.*maglane cleanup/,
		);
	});

	it('bpftool dumps a segment by field', () => {
		const { directory, open } = loaded(ffi, 'dump');
		open().grow().update(u32(2), chunk(50));
		const args = ['-j', 'map', 'lookup', 'pinned', join(directory, 'tables_0'), 'key', '2', '0', '0', '0'];
		const text = execFileSync('bpftool', args, { encoding: 'utf8' });
		const dump = JSON.parse(text) as { formatted: { key: number; value: { backend: number[] } } };
		expect(dump.formatted).toEqual({
			key: 2,
			value: { backend: Array.from({ length: 16 }, (_, i) => 50 + i) },
		});
	});
});
