import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bpfObjects } from '../../agent/bpf/compile.ts';
import type { Native } from '../../agent/bpf/ffi/library.ts';
import { BpfObject } from '../../agent/bpf/object.ts';
import { type ServiceMaps, serviceMaps } from '../../agent/bpf/port.ts';
import { KernelTableSegments } from '../../agent/bpf/table-segments.ts';

const SIZES = { frontends: 4096, backends: 4096, connections: 64, sockets: 64 } as const;

/** The shipped maps in this kernel, without programs, under separate pins. */
export interface KernelMaps extends Disposable {
	readonly maps: ServiceMaps;
}

/**
 * Compiles the object that declares all these maps into a temporary directory.
 * @returns its file, with its removal
 */
export async function compileMaps(): Promise<{ readonly file: string } & Disposable> {
	const sources = fileURLToPath(new URL('../../bpf', import.meta.url));
	const cache = mkdtempSync(join(tmpdir(), 'mlg-bpf-'));
	const dispose = () => rmSync(cache, { recursive: true, force: true });
	try {
		const { files } = await bpfObjects({ sources, cache });
		return { file: files.sock, [Symbol.dispose]: dispose };
	} catch (error) {
		dispose();
		throw error;
	}
}

export function openKernelMaps(
	native: Native,
	file: string,
	sizes: Readonly<Record<string, number>> = SIZES,
): KernelMaps {
	const pins = `/sys/fs/bpf/mlg-golden-${process.pid}`;
	const undo = new DisposableStack();
	try {
		undo.defer(() => rmSync(pins, { recursive: true, force: true }));
		const object = undo.use(BpfObject.open(native, file));
		for (const program of object.programNames) object.setAutoload(program, false);
		const declared = new Set(object.maps.map((map) => map.name));
		for (const [map, entries] of Object.entries(sizes)) {
			if (declared.has(map)) object.setMaxEntries(map, entries);
		}
		object.pinMapsUnder(pins);
		object.load();
		const tables = undo.use(new KernelTableSegments(native, object.map('tables'), pins));
		const maps = serviceMaps((name) => object.map(name), tables);
		const all = undo.move();
		return { maps, [Symbol.dispose]: () => all.dispose() };
	} catch (error) {
		undo.dispose();
		throw error;
	}
}
