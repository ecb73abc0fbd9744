import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bpfObjects, OBJECT_NAMES } from '../../agent/bpf/compile.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { BpfObject } from '../../agent/bpf/object.ts';

const root = resolve(import.meta.dirname, '../..');

describe('bpfObjects() with clang and the real sources', () => {
	let cache: string;
	beforeAll(async () => {
		cache = await mkdtemp(join(tmpdir(), 'mld-bpf-'));
	});
	afterAll(() => rm(cache, { recursive: true }));

	it('compiles without a warning what the kernel loads', async () => {
		const { origin, files } = await bpfObjects({ sources: join(root, 'bpf'), cache });
		expect(origin).toBe('compiled');
		const native = openNative('koffi');
		const programs = OBJECT_NAMES.map((name) => {
			using object = BpfObject.open(native, files[name]);
			// LRU maps allocate all their memory at once. Small maps suffice, because this tests the
			// programs.
			for (const { name: map } of object.maps)
				if (['connections', 'sockets', 'frontends', 'backends'].includes(map)) object.setMaxEntries(map, 64);
			object.load();
			return object.programNames;
		});
		expect(programs.flat()).toEqual(
			expect.arrayContaining([
				'ml_xdp',
				'ml_from_netdev',
				'ml_to_netdev',
				'ml_from_pod',
				'ml_to_pod',
				'ml_connect6',
			]),
		);
	});

	it('gives the same bytes from anywhere, and names no directory of this machine', async () => {
		const other = await mkdtemp(join(tmpdir(), 'mld-bpf-'));
		try {
			await cp(join(root, 'bpf'), join(other, 'bpf'), { recursive: true });
			const first = await bpfObjects({ sources: join(root, 'bpf'), cache });
			const second = await bpfObjects({ sources: join(other, 'bpf'), cache: join(other, 'cache') });
			for (const name of OBJECT_NAMES) {
				const bytes = await readFile(first.files[name]);
				expect(bytes.equals(await readFile(second.files[name])), name).toBe(true);
				expect(bytes.includes(root), name).toBe(false);
			}
		} finally {
			await rm(other, { recursive: true });
		}
	});
});
