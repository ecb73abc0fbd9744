import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type FfiName, type Native, openNative } from '../../agent/bpf/ffi/native.ts';

export const FFIS: readonly FfiName[] = ['koffi', 'ffi-napi'];

const root = resolve(import.meta.dirname, '../..');

/** Compiles a BPF source of this folder. */
export function compile(source: string, into: string, flags: readonly string[] = []): string {
	const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
	const include = [`-I${join(root, 'bpf')}`, '-idirafter', `/usr/include/${arch}-linux-gnu`];
	const object = join(into, source.replace(/\.c$/, '.o'));
	execFileSync('clang', [
		...['-target', 'bpf', '-g', '-O2', '-Wall', '-Werror', ...include, ...flags],
		...['-c', join(import.meta.dirname, source), '-o', object],
	]);
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

/** Natives of both FFIs, made once a file. */
export function natives(): ReadonlyMap<FfiName, Native> {
	return new Map(FFIS.map((ffi) => [ffi, openNative(ffi)]));
}
