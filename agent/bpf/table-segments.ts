import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { arrayMapBtf } from '../abi/btf-write.ts';
import { TABLE_SEGMENT_CHUNKS, TABLE_SEGMENTS, tableChunkCodec } from '../abi/layout.ts';
import { u32Bytes, u32Of } from '../abi/u32.ts';
import { check } from './call.ts';
import { BpfError, isBpfError } from './error.ts';
import type { Native } from './ffi/library.ts';
import { KernelMap, openPinnedMap } from './kernel-map.ts';
import { checkPinnedLayout } from './layout-check.ts';
import type { BpfMap, TableSegments } from './port.ts';
import { MapType, mapCreateOptsCodec } from './uapi.ts';

/**
 * Segments in the kernel: the outer map, and inner maps pinned beside it as tables_<n>, so that the
 * agent finds them without object ids. Adopts existing ones.
 */
export class KernelTableSegments implements TableSegments, Disposable {
	readonly chunks = TABLE_SEGMENT_CHUNKS;
	readonly limit = TABLE_SEGMENTS;
	readonly #native: Native;
	readonly #outer: KernelMap;
	readonly #directory: string;
	readonly #segments: KernelMap[] = [];
	/**
	 * Linux 5.15 to 6.2 refuses (EINVAL) to insert a map with BTF types if the inner map template has
	 * none.
	 */
	#typed = true;

	/** @throws BpfError, LayoutError when a pinned segment does not fit. */
	constructor(native: Native, outer: KernelMap, directory: string) {
		this.#native = native;
		this.#outer = outer;
		this.#directory = directory;
		try {
			while (this.count < this.limit && existsSync(this.#path(this.count))) this.#adopt();
		} catch (error) {
			this.close();
			throw error;
		}
	}

	get count(): number {
		return this.#segments.length;
	}

	segment(i: number): BpfMap {
		const segment = this.#segments[i];
		if (!segment) throw new BpfError({ operation: 'open', object: `map tables_${i}`, errno: 'ENOENT' });
		return segment;
	}

	/** Pins before it links, so that a segment in use always has a pin. */
	grow(): BpfMap {
		const name = `tables_${this.count}`;
		if (this.count >= this.limit) {
			const detail = `there are ${this.limit} segments, the most there can be`;
			throw new BpfError({ operation: 'create', object: `map ${name}`, errno: 'E2BIG', detail });
		}
		if (!this.#typed) return this.#add(name, false);
		try {
			return this.#add(name, true);
		} catch (error) {
			if (!isBpfError(error, 'EINVAL')) throw error;
			const map = this.#add(name, false);
			this.#typed = false;
			return map;
		}
	}

	#add(name: string, typed: boolean): BpfMap {
		const map = new KernelMap(this.#native, this.#create(name, typed), { name });
		const path = this.#path(this.count);
		let pinned = false;
		try {
			mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
			check(this.#native.call.bpf_obj_pin(map.fd, path), 'pin', `map ${name} at ${path}`);
			pinned = true;
			this.#link(this.count, map);
		} catch (error) {
			if (pinned) rmSync(path, { force: true });
			map.close();
			throw error;
		}
		this.#segments.push(map);
		return map;
	}

	/** Closes the descriptors; the kernel keeps the segments. */
	close(): void {
		for (const segment of this.#segments.splice(0)) segment.close();
	}

	[Symbol.dispose](): void {
		this.close();
	}

	#path(i: number): string {
		return join(this.#directory, `tables_${i}`);
	}

	/** Creates a segment with BTF types for bpftool dumps, or without if the kernel refuses BTF. */
	#create(name: string, typed: boolean): number {
		const { call } = this.#native;
		if (!typed) {
			const fd = call.bpf_map_create(MapType.ARRAY, name, 4, tableChunkCodec.size, this.chunks, null);
			return check(fd, 'create', `map ${name}`);
		}
		const { data, keyType, valueType } = arrayMapBtf(tableChunkCodec);
		const { result: btf } = this.#native.log.capture(() => call.bpf_btf_load(data, data.length, null));
		const types = btf < 0 ? [0, 0, 0] : [btf, keyType, valueType];
		const [btfFd = 0, btfKeyTypeId = 0, btfValueTypeId = 0] = types;
		const sz = BigInt(mapCreateOptsCodec.size);
		const opts = mapCreateOptsCodec.encode({ sz, btfFd, btfKeyTypeId, btfValueTypeId, mapFlags: 0 });
		const fd = call.bpf_map_create(MapType.ARRAY, name, 4, tableChunkCodec.size, this.chunks, opts);
		if (btf >= 0) call.close(btf);
		return check(fd, 'create', `map ${name}`);
	}

	#adopt(): void {
		const i = this.count;
		const map = openPinnedMap(this.#native, this.#path(i), `tables_${i}`);
		if (!map) throw new BpfError({ operation: 'open', object: `map tables_${i}`, errno: 'ENOENT' });
		this.#segments.push(map);
		if (map.maxEntries !== this.chunks || map.valueSize !== tableChunkCodec.size) {
			const found = `${map.maxEntries} entries of ${map.valueSize} bytes`;
			const detail = `it has ${found}, expected ${this.chunks} of ${tableChunkCodec.size}; run \`maglane cleanup\``;
			throw new BpfError({ operation: 'adopt', object: `map tables_${i}`, errno: 'EINVAL', detail });
		}
		checkPinnedLayout(this.#native, map, this.#path(i));
		this.#link(i, map);
	}

	/** Sets slot i of the outer map to the segment, unless it already is. */
	#link(i: number, map: KernelMap): void {
		const key = u32Bytes(i);
		const linked = this.#outer.lookup(key);
		if (linked && u32Of(linked) === map.info.id) return;
		this.#outer.update(key, u32Bytes(map.fd));
	}
}
