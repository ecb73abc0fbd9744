import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Btf, datasec, parseBtf } from '../abi/btf.ts';
import { type MapShape, mapShapes } from '../abi/shape.ts';
import { check } from './call.ts';
import { BpfError } from './error.ts';
import type { Native } from './ffi/library.ts';
import { KernelMap, openPinnedMap } from './kernel-map.ts';
import { checkObjectLayout, checkPinnedLayout } from './layout-check.ts';
import { Program } from './program.ts';
import { type RodataValues, rodataWrites } from './rodata.ts';
import { loadFailure } from './verifier-log.ts';

/**
 * A BPF object file: open, configure, load, then use its maps and programs. Pinned and linked ones
 * stay after close(). Not thread-safe.
 */
export class BpfObject implements Disposable {
	/** File name, for messages. */
	readonly name: string;
	readonly btf: Btf;
	/** Every map that the source declares, from BTF. */
	readonly maps: readonly MapShape[];
	readonly #native: Native;
	readonly #pointer: bigint;
	readonly #maps: ReadonlyMap<string, bigint>;
	readonly #programs: ReadonlyMap<string, bigint>;
	#pins: ReadonlyMap<string, string> = new Map();
	#loaded = false;
	#closed = false;

	/**
	 * Opens the file and compares its layout with agent/abi/layout.ts. @throws BpfError, LayoutError
	 */
	static open(native: Native, path: string): BpfObject {
		const { result, warnings } = native.log.capture(() => native.call.bpf_object__open_file(path, null));
		if (result === 0n) {
			const detail = warnings.trim() || 'libbpf gave no reason';
			throw new BpfError({ operation: 'open', object: `BPF object ${path}`, errno: native.errno(), detail });
		}
		try {
			const object = new BpfObject(native, result, basename(path));
			checkObjectLayout(object.name, object.btf);
			// Without this call, libbpf would pin to the root of bpffs.
			object.pinMapsUnder(undefined);
			return object;
		} catch (error) {
			native.call.bpf_object__close(result);
			throw error;
		}
	}

	private constructor(native: Native, pointer: bigint, name: string) {
		this.#native = native;
		this.#pointer = pointer;
		this.name = name;
		this.btf = readBtf(native, pointer, name);
		this.maps = mapShapes(this.btf);
		const { call } = native;
		this.#maps = collect((last) => call.bpf_object__next_map(pointer, last), call.bpf_map__name);
		this.#programs = collect((last) => call.bpf_object__next_program(pointer, last), call.bpf_program__name);
	}

	get programNames(): string[] {
		return [...this.#programs.keys()];
	}

	/** Whether the object has this `const volatile` variable. */
	hasRodata(name: string): boolean {
		return datasec(this.btf, '.rodata').has(name);
	}

	/**
	 * Sets `const volatile` variables before load.
	 * @throws RangeError for unknown names and for values out of range.
	 */
	setRodata(values: RodataValues): void {
		this.#expectOpen('set variables of');
		const writes = rodataWrites(this.name, this.btf, values);
		if (writes.length === 0) return;
		const entry = [...this.#maps].find(([name]) => name.endsWith('.rodata'));
		const memory = entry && this.#native.call.bpf_map__initial_value(entry[1], new Uint8Array(8));
		if (!memory) throw new BpfError({ operation: 'set variables of', object: this.name, errno: 'ENOENT' });
		for (const write of writes) {
			const target = memory + BigInt(write.offset);
			this.#native.hold([write.bytes], () =>
				this.#native.call.memcpy(target, write.bytes, write.bytes.length),
			);
		}
	}

	/** Call it before load. An existing pinned map must have the same size. */
	setMaxEntries(name: string, entries: number): void {
		this.#expectOpen('resize maps of');
		check(this.#native.call.bpf_map__set_max_entries(this.#map(name), entries), 'resize', `map ${name}`);
	}

	/**
	 * Sets the directory that maps marked for pinning are pinned in or reused from. undefined: no
	 * pins.
	 */
	pinMapsUnder(directory: string | undefined): void {
		this.#expectOpen('pin maps of');
		const pins = new Map<string, string>();
		for (const { name, pinned } of this.maps) {
			if (!pinned) continue;
			const path = directory === undefined ? null : join(directory, name);
			check(
				this.#native.call.bpf_map__set_pin_path(this.#map(name), path),
				'set the pin path of',
				`map ${name}`,
			);
			if (path !== null) pins.set(name, path);
		}
		this.#pins = pins;
	}

	/** Whether load() loads this program. */
	setAutoload(name: string, load: boolean): void {
		this.#expectOpen('choose programs of');
		check(
			this.#native.call.bpf_program__set_autoload(this.#program(name), load),
			'choose',
			`program ${name}`,
		);
	}

	/** Overrides the program flags that the section name implies. */
	setFlags(name: string, flags: number): void {
		this.#expectOpen('choose flags of');
		check(
			this.#native.call.bpf_program__set_flags(this.#program(name), flags),
			'set flags of',
			`program ${name}`,
		);
	}

	/**
	 * Creates maps and loads programs.
	 * @throws LoadError with the verifier's last lines; BpfError or LayoutError with the pinned map
	 * that does not fit, the differences and the remedy.
	 */
	load(): void {
		this.#expectOpen('load');
		for (const [name, path] of this.#pins) this.#checkPin(name, path);
		for (const path of this.#pins.values()) mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 });
		const load = () => this.#native.call.bpf_object__load(this.#pointer);
		const { result, warnings } = this.#native.log.capture(load);
		if (result < 0) throw loadFailure(this.name, -result, warnings);
		this.#loaded = true;
	}

	/** A map after load. This object owns its descriptor. */
	map(name: string): KernelMap {
		this.#expectLoaded('map', name);
		return new KernelMap(this.#native, this.#native.call.bpf_map__fd(this.#map(name)), {
			name,
			owned: false,
		});
	}

	/** A program after load. @throws BpfError ENOENT when it is unknown or autoload is off. */
	program(name: string): Program {
		this.#expectLoaded('program', name);
		const pointer = this.#program(name);
		const fd = this.#native.call.bpf_program__fd(pointer);
		if (fd < 0) {
			const detail = 'it was not to be loaded';
			throw new BpfError({ operation: 'use', object: `program ${name}`, errno: 'ENOENT', detail });
		}
		return new Program(this.#native, fd, name, this.#native.call.bpf_program__section_name(pointer) ?? '');
	}

	/** Descriptor of the BTF in the kernel after load; negative when the kernel has none. */
	get btfFd(): number {
		return this.#native.call.btf__fd(this.#native.call.bpf_object__btf(this.#pointer));
	}

	close(): void {
		if (this.#closed) return;
		this.#closed = true;
		this.#native.call.bpf_object__close(this.#pointer);
	}

	[Symbol.dispose](): void {
		this.close();
	}

	/**
	 * For a pinned map with other parameters libbpf reports only EINVAL; this names the parameters.
	 */
	#checkPin(name: string, path: string): void {
		using pinned = openPinnedMap(this.#native, path, name);
		if (!pinned) return;
		checkPinnedLayout(this.#native, pinned, path);
		const pointer = this.#map(name);
		const { call } = this.#native;
		const wanted = {
			type: call.bpf_map__type(pointer),
			keySize: call.bpf_map__key_size(pointer),
			valueSize: call.bpf_map__value_size(pointer),
			maxEntries: call.bpf_map__max_entries(pointer),
			mapFlags: call.bpf_map__map_flags(pointer),
		};
		const differences = Object.entries(wanted)
			.filter(([field, value]) => pinned.info[field as keyof typeof wanted] !== value)
			.map(([field, value]) => `${field} is ${pinned.info[field as keyof typeof wanted]}, wanted ${value}`);
		if (differences.length === 0) return;
		const detail = `${differences.join(', ')}; start with the same settings, or run \`maglane cleanup\` first`;
		throw new BpfError({
			operation: 'reuse',
			object: `map ${name} pinned at ${path}`,
			errno: 'EINVAL',
			detail,
		});
	}

	#map(name: string): bigint {
		return this.#find('map', this.#maps, name);
	}

	#program(name: string): bigint {
		return this.#find('program', this.#programs, name);
	}

	#find(kind: string, among: ReadonlyMap<string, bigint>, name: string): bigint {
		const pointer = among.get(name);
		if (pointer !== undefined) return pointer;
		const detail = `${this.name} has ${[...among.keys()].join(', ') || 'none'}`;
		throw new BpfError({ operation: 'find', object: `${kind} ${name}`, errno: 'ENOENT', detail });
	}

	/** close() frees the pointers, so no call may use them afterwards. */
	#expectOpen(operation: string): void {
		const detail = this.#closed ? 'it is closed' : 'it is loaded';
		if (this.#closed || this.#loaded) {
			throw new BpfError({ operation, object: `BPF object ${this.name}`, errno: 'EBADF', detail });
		}
	}

	#expectLoaded(kind: string, name: string): void {
		if (this.#loaded && !this.#closed) return;
		const detail = `${this.name} is ${this.#closed ? 'closed' : 'not loaded'}`;
		throw new BpfError({ operation: 'use', object: `${kind} ${name}`, errno: 'EBADF', detail });
	}
}

function collect(
	next: (last: bigint) => bigint,
	nameOf: (item: bigint) => string | undefined,
): Map<string, bigint> {
	const out = new Map<string, bigint>();
	for (let item = next(0n); item !== 0n; item = next(item)) out.set(nameOf(item) ?? '', item);
	return out;
}

function readBtf(native: Native, object: bigint, name: string): Btf {
	const btf = native.call.bpf_object__btf(object);
	const size = new Uint8Array(4);
	const data = btf === 0n ? 0n : native.call.btf__raw_data(btf, size);
	if (data === 0n) {
		const detail = 'it has no BTF; compile it with -g';
		throw new BpfError({ operation: 'read', object: `BPF object ${name}`, errno: 'ENOENT', detail });
	}
	return parseBtf(native.read(data, new DataView(size.buffer).getUint32(0, true)));
}
