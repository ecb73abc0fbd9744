/** The programs as they ship, loaded beside an agent's: own pins, own maps. */
import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bpfObjects } from '../../agent/bpf/compile.ts';
import { type Native, openNative } from '../../agent/bpf/ffi/native.ts';
import type { KernelMap } from '../../agent/bpf/kernel-map.ts';
import { BpfObject } from '../../agent/bpf/object.ts';
import { type ServiceMaps, serviceMaps } from '../../agent/bpf/port.ts';
import type { Program as KernelProgram } from '../../agent/bpf/program.ts';
import type { RodataValues } from '../../agent/bpf/rodata.ts';
import { KernelTableSegments } from '../../agent/bpf/table-segments.ts';

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
export const PINS = '/sys/fs/bpf';

/** Enough for tests, and quick to make; the programs do not know the sizes. */
export const SIZES: Readonly<Record<string, number>> = {
	frontends: 1024,
	backends: 1024,
	connections: 65_536,
};

/** Objects of the same sources, and the maps that they share under one pin directory. */
export class Objects implements Disposable {
	readonly native: Native;
	readonly maps: ServiceMaps;
	readonly #objects: readonly BpfObject[];
	readonly #pins: string;
	readonly #tables: KernelTableSegments;

	/** `files` are compiled objects; those that have a variable of `rodata` get its value. */
	constructor(native: Native, files: readonly string[], pins: string, rodata: RodataValues, sizes = SIZES) {
		this.native = native;
		this.#pins = join(PINS, pins);
		rmSync(this.#pins, { recursive: true, force: true });
		this.#objects = files.map((file) => {
			const object = BpfObject.open(native, file);
			const known = Object.entries(rodata).filter(([name]) => object.hasRodata(name));
			object.setRodata(Object.fromEntries(known));
			for (const { name } of object.maps) if (sizes[name]) object.setMaxEntries(name, sizes[name]);
			object.pinMapsUnder(this.#pins);
			object.load();
			return object;
		});
		this.#tables = new KernelTableSegments(native, this.map('tables'), this.#pins);
		this.maps = serviceMaps((name) => this.map(name), this.#tables);
	}

	/** Compiles bpf/, or takes what is compiled already. */
	static async load(
		pins: string,
		rodata: RodataValues = {},
		sizes: Readonly<Record<string, number>> = {},
	): Promise<Objects> {
		const { files } = await bpfObjects({
			sources: join(REPOSITORY, 'bpf'),
			cache: join(REPOSITORY, '.cache/bpf'),
		});
		return new Objects(openNative('koffi'), [files.xdp, files.tc, files.sock], pins, rodata, {
			...SIZES,
			...sizes,
		});
	}

	map(name: string): KernelMap {
		return this.#with((object) => object.maps.some((map) => map.name === name), `map ${name}`).map(name);
	}

	program(name: string): KernelProgram {
		return this.#with((object) => object.programNames.includes(name), `program ${name}`).program(name);
	}

	#with(has: (object: BpfObject) => boolean, what: string): BpfObject {
		const object = this.#objects.find(has);
		if (!object) throw new TypeError(`No object has ${what}`);
		return object;
	}

	close(): void {
		this.#tables.close();
		for (const object of this.#objects) object.close();
		rmSync(this.#pins, { recursive: true, force: true });
		// the directories above, as far as they are ours and empty
		for (
			let above = dirname(this.#pins);
			above !== PINS && readdirSync(above).length === 0;
			above = dirname(above)
		)
			rmdirSync(above);
	}

	[Symbol.dispose](): void {
		this.close();
	}
}
