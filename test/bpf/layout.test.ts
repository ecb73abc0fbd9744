import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseBtf } from '../../agent/abi/btf.ts';
import { arrayMapBtf } from '../../agent/abi/btf-write.ts';
import { elfSection } from '../../agent/abi/elf.ts';
import * as layout from '../../agent/abi/layout.ts';
import { enumShapes, mapShapes, structLayouts } from '../../agent/abi/shape.ts';
import type { StructLayout } from '../../agent/abi/struct.ts';
import { LayoutError } from '../../agent/bpf/layout-check.ts';
import { BpfObject } from '../../agent/bpf/object.ts';
import { MapType, mapCreateOptsCodec } from '../../agent/bpf/uapi.ts';
import { collect, difference } from '../../scripts/layout.ts';
import { layoutText } from '../../scripts/layout-text.ts';
import { compile, compileFile, natives, workspace } from './binding-setup.ts';

const root = resolve(import.meta.dirname, '../..');
const header = readFileSync(join(root, 'bpf/abi.h'), 'utf8');
const work = workspace('layout');
const all = natives();
const native = all.get('koffi')!;
let file: string;

beforeAll(() => {
	file = compile('hooks.bpf.c', work.folder);
});
afterAll(() => {
	for (const each of all.values()) each.log.close();
	work.remove();
});

/** Compiles an object with all types of an abi.h that differs from agent/abi/layout.ts. */
function changed(find: string, replace: string): string {
	expect(header).toContain(find);
	writeFileSync(join(work.folder, 'abi.h'), header.replace(find, replace));
	const source = join(work.folder, 'changed.bpf.c');
	const uses = layout.STRUCTS.map(({ type }) => `struct ${type} use_${type};`);
	writeFileSync(source, ['#include "abi.h"', ...uses, ''].join('\n'));
	return compileFile(source, join(work.folder, 'changed.bpf.o'), work.folder);
}

function thrown(action: () => unknown): Error {
	try {
		action();
	} catch (error) {
		return error as Error;
	}
	throw new Error('Expected an error, but nothing was thrown');
}

describe('scripts/layout.ts', () => {
	it('--check agrees that the committed file is what the headers give', () => {
		const check = spawnSync(process.execPath, ['scripts/layout.ts', '--check'], {
			cwd: root,
			encoding: 'utf8',
		});
		expect([check.status, check.stderr]).toEqual([0, '']);
	});

	it('difference() shows what changed, with line numbers', async () => {
		const text = layoutText(await collect());
		const changed = text.replace('tableSize: number;', 'tableSize: bigint;');
		const line = text.split('\n').indexOf('\ttableSize: number;') + 1;
		expect(difference(text, changed)).toEqual([
			`- ${line}: \ttableSize: number;`,
			`+ ${line}: \ttableSize: bigint;`,
		]);
		expect(difference(text, text)).toEqual([]);
	});

	it('names a C type that it has no codec for', async () => {
		const source = await collect();
		const btf = source.btf.map((type) =>
			type.kind === 'int' && type.name.endsWith('char') ? { ...type, signed: true } : type,
		);
		expect(() => layoutText({ ...source, btf })).toThrow('Cannot generate a codec for the C type s8');
		expect(() => layoutText({ ...source, structs: ['nope'] })).toThrow('Type nope is not in the BTF');
	});

	it('covers every struct, enum and constant of abi.h', () => {
		const structs = [...header.matchAll(/^struct (\w+) \{/gm)].map((match) => match[1]!);
		// An address is a byte array wherever a struct contains one.
		expect(layout.STRUCTS.map(({ type }) => type)).toEqual(structs.filter((name) => name !== 'addr'));
		const pascal = (name: string) =>
			name.replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase());
		const enums = [...header.matchAll(/^enum (\w+) \{/gm)].map((match) => pascal(match[1]!));
		const constants = [...header.matchAll(/^#define (\w+) \d+/gm)].map((match) => match[1]!);
		expect(Object.keys(layout)).toEqual(expect.arrayContaining([...enums, ...constants]));
		expect(layout.Reason.COUNT).toBe(Object.keys(layout.Reason).length - 1);
	});
});

describe('parseBtf()', () => {
	interface Dumped {
		readonly kind: string;
		readonly name: string;
		readonly size: number;
		readonly members?: readonly { readonly name: string; readonly bits_offset: number }[];
		readonly values?: readonly { readonly name: string; readonly val: number }[];
	}

	it('reads what bpftool reads', () => {
		const object = changed('REASON_COUNT', 'REASON_COUNT');
		const btf = parseBtf(elfSection(readFileSync(object), '.BTF')!);
		const text = execFileSync('bpftool', ['-j', 'btf', 'dump', 'file', object], { encoding: 'utf8' });
		const { types } = JSON.parse(text) as { types: Dumped[] };
		expect(btf.length).toBe(types.length + 1);
		const structs = structLayouts(btf);
		const named = types.filter(({ kind, name }) => kind === 'STRUCT' && name !== '(anon)');
		expect(named.length).toBeGreaterThan(10);
		for (const { name, size, members } of named) {
			const found = structs.get(name)!;
			expect([name, found.size]).toEqual([name, size]);
			const offsets = found.fields.map((field) => [field.name || '(anon)', field.offset * 8]);
			expect(offsets).toEqual(members!.map((member) => [member.name, member.bits_offset]));
		}
		const enums = enumShapes(btf);
		for (const { name, values } of types.filter(({ kind, name }) => kind === 'ENUM' && name !== '(anon)')) {
			expect(enums.get(name)).toEqual(values!.map((value) => [value.name, value.val]));
		}
	});

	it('reads maps with the types of their keys and values', () => {
		const maps = mapShapes(parseBtf(elfSection(readFileSync(file), '.BTF')!));
		expect(maps.find(({ name }) => name === 'counters')).toEqual({
			...{ name: 'counters', type: 6, key: 'u32', value: 'counter', keySize: 4, valueSize: 16 },
			...{ maxEntries: 2, flags: 0, pinned: true },
		});
	});

	it('reads structs with bit fields, and there is no codec for them', async () => {
		const source = join(work.folder, 'bits.bpf.c');
		writeFileSync(source, 'struct bits { unsigned a:4; unsigned b:12; unsigned c; } use;\n');
		const object = compileFile(source, join(work.folder, 'bits.bpf.o'));
		const btf = parseBtf(elfSection(readFileSync(object), '.BTF')!);
		const fields = structLayouts(btf)
			.get('bits')!
			.fields.map(({ name, offset, type }) => [name, offset, type]);
		expect(fields).toEqual([
			['a', 0, 'bit field'],
			['b', 0, 'bit field'],
			['c', 4, 'u32'],
		]);
		const generate = () => layoutText({ btf, structs: ['bits'], enums: [], constants: [] });
		expect(generate).toThrow('Cannot generate a codec for the C type bit field');
	});

	it('refuses what is not BTF and not ELF', () => {
		expect(() => parseBtf(new Uint8Array(40))).toThrow('Cannot parse BTF');
		expect(() => elfSection(new Uint8Array(100), '.BTF')).toThrow('Cannot read ELF');
		expect(elfSection(readFileSync(file), '.nope')).toBeUndefined();
	});
});

describe('drift between an object and the codecs', () => {
	it.each([
		[
			'__u32 service_id; /* one per Service port; never 0 */\n\t__u32 flags; ',
			'__u32 flags;\n\t__u32 service_id; ',
			/struct frontend: field service_id is u32 at byte 4, expected u32 at byte 0.*field flags is u32 at byte 0/,
		],
		[
			'__u32 generation;',
			'__u32 age;',
			/struct backend: field generation is absent, expected u32 at byte 24/,
		],
		[
			'__u64 packets;',
			'__u64 packets[1];',
			/struct counter: field packets is u64\[1\] at byte 0, expected u64 at byte 0/,
		],
	])('of an object is refused at open, by field (%#)', (find, replace, message) => {
		const object = changed(find, replace);
		const error = thrown(() => BpfObject.open(native, object));
		expect(error).toBeInstanceOf(LayoutError);
		expect(error.message).toMatch(/^Layout of changed\.bpf\.o differs from agent\/abi\/layout\.ts: /);
		expect(error.message).toMatch(message);
		expect(error.message).toContain('run `make layout`');
	});

	it('does not refuse an object that only renames a constant', () => {
		using object = BpfObject.open(native, changed('DROP(TTL)', 'DROP(HOPS)'));
		expect(object.name).toBe('changed.bpf.o');
	});

	/** Pins a map with the name of one of ours and the given value. */
	function pinned(name: string, value: StructLayout): string {
		const directory = join(work.pins, name);
		mkdirSync(directory);
		const { data, keyType, valueType } = arrayMapBtf(value);
		const btfFd = native.call.bpf_btf_load(data, data.length, null);
		expect(btfFd).toBeGreaterThan(0);
		const sz = BigInt(mapCreateOptsCodec.size);
		const types = { btfFd, btfKeyTypeId: keyType, btfValueTypeId: valueType };
		const opts = mapCreateOptsCodec.encode({ sz, ...types, mapFlags: 0 });
		const fd = native.call.bpf_map_create(MapType.PERCPU_ARRAY, 'counters', 4, value.size, 2, opts);
		expect(native.call.bpf_obj_pin(fd, join(directory, 'counters'))).toBe(0);
		native.call.close(fd);
		native.call.close(btfFd);
		return directory;
	}

	function loadOver(directory: string): void {
		using object = BpfObject.open(native, file);
		object.pinMapsUnder(directory);
		object.load();
	}

	const packets = { name: 'packets', type: 'u64', size: 8 };
	const bytes = { name: 'bytes', type: 'u64', size: 8 };

	it('of a pinned map is refused at load: its size', () => {
		const directory = pinned('size', { type: 'counter', size: 8, fields: [{ ...packets, offset: 0 }] });
		const error = thrown(() => loadOver(directory));
		expect(error).toBeInstanceOf(LayoutError);
		expect(error.message).toMatch(
			/^Layout of map counters pinned at .*: value has 8 bytes, expected 16; .*maglane cleanup/,
		);
	});

	it('of a pinned map is refused at load: the order of its fields', () => {
		const fields = [
			{ ...bytes, offset: 0 },
			{ ...packets, offset: 8 },
		];
		const directory = pinned('order', { type: 'counter', size: 16, fields });
		expect(thrown(() => loadOver(directory)).message).toContain(
			'struct counter: field packets is u64 at byte 8, expected u64 at byte 0',
		);
	});

	it('of a pinned map passes when the fields agree', () => {
		const fields = [
			{ ...packets, offset: 0 },
			{ ...bytes, offset: 8 },
		];
		expect(() => loadOver(pinned('same', { type: 'counter', size: 16, fields }))).not.toThrow();
	});
});

describe('arrayMapBtf()', () => {
	it('is read back as the same struct', () => {
		const { data, keyType, valueType } = arrayMapBtf(layout.tableChunkCodec);
		const btf = parseBtf(data);
		expect(structLayouts(btf).get('table_chunk')).toEqual({
			...{ type: 'table_chunk', size: 64 },
			fields: [{ name: 'backend', offset: 0, type: 'u32[16]', size: 64 }],
		});
		expect(btf[keyType]).toEqual({ kind: 'int', name: '__u32', size: 4, signed: false });
		expect(btf[valueType]?.name).toBe('table_chunk');
		expect(() => arrayMapBtf(layout.connCodec)).toThrow('Cannot write BTF of the type tuple');
	});
});
