import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type FfiName, type Native, openNative } from '../../agent/bpf/ffi/native.ts';

export const FFIS: readonly FfiName[] = ['koffi', 'ffi-napi'];

const root = resolve(import.meta.dirname, '../..');

/** Compiles a BPF source of this folder. */
export function compile(source: string, into: string): string {
	return compileFile(join(import.meta.dirname, source), join(into, source.replace(/\.c$/, '.o')));
}

/** Compiles any BPF source; headers are those beside it, or in `headers`. */
export function compileFile(source: string, object: string, headers: string = join(root, 'bpf')): string {
	const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
	const flags = ['-target', 'bpf', '-g', '-O2', '-Wall', '-Werror'];
	const include = [`-I${headers}`, '-idirafter', `/usr/include/${arch}-linux-gnu`];
	execFileSync('clang', [...flags, ...include, '-c', source, '-o', object]);
	return object;
}

/** A folder for files, one for pins, and what removes both. */
export function workspace(name: string) {
	const folder = mkdtempSync(join(tmpdir(), `mlb-${name}-`));
	const pins = `/sys/fs/bpf/mlb-${name}-${process.pid}`;
	mkdirSync(pins, { recursive: true });
	return {
		folder,
		pins,
		remove() {
			rmSync(folder, { recursive: true, force: true });
			// rm -r of node needs fsync-able folders; bpffs has plain unlink and rmdir only.
			if (existsSync(pins)) execFileSync('rm', ['-rf', pins]);
		},
		pinned: () => readdirSync(pins).sort(),
	};
}

/**
 * Natives of both FFIs, made once a file. libbpf has one printer for both, and a callback of one FFI must not run
 * inside a call of the other: it stays silent outside log.capture().
 */
export function natives(): ReadonlyMap<FfiName, Native> {
	const all = new Map(FFIS.map((ffi) => [ffi, openNative(ffi)]));
	for (const native of all.values()) native.call.libbpf_set_print(null);
	return all;
}
