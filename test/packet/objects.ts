/** The shipped programs, loaded beside those of an agent with separate pins and maps. */
import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bpfObjects } from '../../agent/bpf/compile.ts';
import type { Native } from '../../agent/bpf/ffi/library.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import type { KernelMap } from '../../agent/bpf/kernel-map.ts';
import { openObject } from '../../agent/bpf/load.ts';
import type { BpfObject } from '../../agent/bpf/object.ts';
import { type ServiceMaps, serviceMaps } from '../../agent/bpf/port.ts';
import { probe } from '../../agent/bpf/probe.ts';
import type { Program as KernelProgram } from '../../agent/bpf/program.ts';
import type { RodataValues } from '../../agent/bpf/rodata.ts';
import { KernelTableSegments } from '../../agent/bpf/table-segments.ts';

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
export const PINS = '/sys/fs/bpf';

const PATHS = { sources: join(REPOSITORY, 'bpf'), cache: join(REPOSITORY, '.cache/bpf') };

/** Small sizes, which the kernel allocates fast. The programs do not depend on the sizes. */
export const SIZES: Readonly<Record<string, number>> = {
	frontends: 1024,
	backends: 1024,
	connections: 65_536,
};

/** Objects of the same sources with shared maps under one pin directory. */
export class Objects implements Disposable {
	readonly native: Native;
	readonly maps: ServiceMaps;
	readonly #objects: readonly BpfObject[];
	readonly #open: (file: string) => BpfObject;
	#l3: BpfObject | undefined;
	readonly #pins: string;
	readonly #tables: KernelTableSegments;

	/** `files` are compiled objects. An object with a variable of `rodata` gets its value. */
	constructor(native: Native, files: readonly string[], pins: string, rodata: RodataValues, sizes = SIZES) {
		this.native = native;
		this.#pins = join(PINS, pins);
		rmSync(this.#pins, { recursive: true, force: true });
		const config = { have_xdp_frags: Number(probe(native, PINS).xdpFrags.ok), ...rodata };
		const options = { config, directory: this.#pins, mapEntries: sizes };
		this.#open = (file) => {
			const object = openObject(native, file, options);
			object.load();
			return object;
		};
		this.#objects = files.map(this.#open);
		this.#tables = new KernelTableSegments(native, this.map('tables'), this.#pins);
		this.maps = serviceMaps((name) => this.map(name), this.#tables);
	}

	/** Compiles bpf/, or uses the cached objects. */
	static async load(
		pins: string,
		rodata: RodataValues = {},
		sizes: Readonly<Record<string, number>> = {},
	): Promise<Objects> {
		const { files } = await bpfObjects(PATHS);
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

	/** A program for devices without a link layer. */
	async l3(name: string): Promise<KernelProgram> {
		const { files } = await bpfObjects(PATHS);
		this.#l3 ??= this.#open(files.tc_l3);
		return this.#l3.program(name);
	}

	#with(has: (object: BpfObject) => boolean, what: string): BpfObject {
		const object = this.#objects.find(has);
		if (!object) throw new TypeError(`No object has ${what}`);
		return object;
	}

	close(): void {
		this.#tables.close();
		for (const object of this.#objects) object.close();
		this.#l3?.close();
		rmSync(this.#pins, { recursive: true, force: true });
		// removes our empty parent directories too
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
