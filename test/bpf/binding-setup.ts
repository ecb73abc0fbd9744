import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { STRUCTS } from '../../agent/abi/layout.ts';
import type { FieldLayout, StructLayout } from '../../agent/abi/struct.ts';
import type { FfiName, Native } from '../../agent/bpf/ffi/library.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';

export const FFIS: readonly FfiName[] = ['koffi', 'ffi-napi'];

const root = resolve(import.meta.dirname, '../..');

/** Compiles a BPF source of this folder. */
export function compile(source: string, into: string): string {
	return compileFile(join(import.meta.dirname, source), join(into, source.replace(/\.c$/, '.o')));
}

/** Compiles any BPF source, with headers from its own directory or from `headers`. */
export function compileFile(source: string, object: string, headers: string = join(root, 'bpf')): string {
	const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
	const flags = ['-target', 'bpf', '-g', '-O2', '-Wall', '-Werror'];
	const include = [`-I${headers}`, '-idirafter', `/usr/include/${arch}-linux-gnu`];
	execFileSync('clang', [...flags, ...include, '-c', source, '-o', object]);
	return object;
}

/** Bytes. */
const LONGEST_MEMCPY = 128;

/** A C statement that copies a field and adds one to each integer. */
function copyStatement(field: FieldLayout, path: string): string {
	const nested = STRUCTS.find(({ type }) => type === field.type);
	if (nested) return nested.fields.map((inner) => copyStatement(inner, `${path}.${inner.name}`)).join('\n');
	if (/^u\d+$/.test(field.type)) return `\tout->${path} = in->${path} + 1;`;
	const [, element = '', length = ''] = /^(\w+)\[(\d+)\]$/.exec(field.type)!;
	if (STRUCTS.some(({ type }) => type === element))
		return Array.from({ length: Number(length) }, (_, i) =>
			copyStatement({ ...field, type: element }, `${path}[${i}]`),
		).join('\n');
	// the compiler calls memcpy() for copies too long to unroll, and BPF has no memcpy()
	if (element === 'u8' && Number(length) <= LONGEST_MEMCPY)
		return `\t__builtin_memcpy(&out->${path}, &in->${path}, ${length});`;
	if (element === 'u8') return `\tfor (int i = 0; i < ${length}; i++)\n\t\tout->${path}[i] = in->${path}[i];`;
	return `\tfor (int i = 0; i < ${length}; i++)\n\t\tout->${path}[i] = in->${path}[i] + 1;`;
}

/**
 * Generates one program for each struct. It reads entry 0 of the map copy_<struct> field by field,
 * adds one to every integer and writes entry 1. Fields have the names of the codecs, and the
 * compiler supplies their offsets.
 */
export function copySource(layouts: readonly StructLayout[]): string {
	const programs = layouts.map(
		({ type, fields }) => `
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct ${type});
} copy_${type} SEC(".maps");

SEC("tc")
int run_${type}(struct __sk_buff *skb)
{
	__u32 zero = 0, one = 1;
	struct ${type} *in = bpf_map_lookup_elem(&copy_${type}, &zero);
	struct ${type} *out = bpf_map_lookup_elem(&copy_${type}, &one);
	if (!in || !out)
		return 1;
${fields.map((field) => copyStatement(field, field.name)).join('\n')}
	return 0;
}
`,
	);
	const headers = ['linux/bpf.h', 'bpf/bpf_helpers.h'].map((name) => `#include <${name}>`);
	const license = 'char LICENSE[] SEC("license") = "Dual BSD/GPL";\n';
	return [...headers, '#include "abi.h"', ...programs, license].join('\n');
}

/** A directory for files, one for pins, and a function that removes both. */
export function workspace(name: string) {
	const folder = mkdtempSync(join(tmpdir(), `mlb-${name}-`));
	const pins = `/sys/fs/bpf/mlb-${name}-${process.pid}`;
	mkdirSync(pins, { recursive: true });
	return {
		folder,
		pins,
		remove() {
			rmSync(folder, { recursive: true, force: true });
			// Recursive removal of Node fails on bpffs, which supports only plain unlink and rmdir.
			if (existsSync(pins)) execFileSync('rm', ['-rf', pins]);
		},
		pinned: () => readdirSync(pins).sort(),
	};
}

/**
 * Natives of both FFIs, opened once a file. libbpf has one print callback for both, and a callback
 * of one FFI must not run inside a call of the other. The callback is therefore off outside
 * log.capture().
 */
export function natives(): ReadonlyMap<FfiName, Native> {
	const all = new Map(FFIS.map((ffi) => [ffi, openNative(ffi)]));
	for (const native of all.values()) native.call.libbpf_set_print(null);
	return all;
}
