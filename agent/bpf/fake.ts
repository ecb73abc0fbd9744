/** In-memory maps with the kernel's semantics, for tests and for a run without BPF. */
import { MAPS, TABLE_SEGMENT_CHUNKS, TABLE_SEGMENTS, tableChunkCodec } from '../abi/layout.ts';
import type { MapShape } from '../abi/shape.ts';
import { BpfError } from './error.ts';
import { FakeKernel } from './fake-kernel.ts';
import { FakeArray, FakeHash } from './fake-map.ts';
import { type BpfMap, type ServiceMaps, serviceMaps, type TableSegments } from './port.ts';
import { MapType } from './uapi.ts';

/** In-memory segments of Maglev tables. */
export class FakeTableSegments implements TableSegments {
	readonly chunks: number;
	readonly limit: number;
	readonly #kernel: FakeKernel;
	readonly #segments: BpfMap[] = [];

	constructor(kernel: FakeKernel, chunks: number = TABLE_SEGMENT_CHUNKS, limit: number = TABLE_SEGMENTS) {
		this.#kernel = kernel;
		this.chunks = chunks;
		this.limit = limit;
	}

	get count(): number {
		return this.#segments.length;
	}

	segment(i: number): BpfMap {
		const segment = this.#segments[i];
		if (!segment) throw new BpfError({ operation: 'open', object: `map tables_${i}`, errno: 'ENOENT' });
		return segment;
	}

	grow(): BpfMap {
		const name = `tables_${this.count}`;
		if (this.count >= this.limit) {
			throw new BpfError({ operation: 'create', object: `map ${name}`, errno: 'E2BIG' });
		}
		this.#kernel.write({ operation: 'grow', map: name });
		const size = { keySize: 4, valueSize: tableChunkCodec.size, maxEntries: this.chunks };
		const segment = new FakeArray(this.#kernel, { name, ...size });
		this.#segments.push(segment);
		return segment;
	}
}

/** Limits of the fake maps. The defaults are those of bpf/maps.h. */
export interface FakeLimits {
	readonly frontends?: number;
	readonly backends?: number;
	readonly sourceRanges?: number;
	/** Chunks in a segment. */
	readonly chunks?: number;
	/** Segments. */
	readonly segments?: number;
}

/** In-memory ServiceMaps, with their kernel for its journal and injected failures. */
export interface FakeServiceMaps extends ServiceMaps {
	readonly kernel: FakeKernel;
}

/** Creates empty maps that share one journal. */
export function fakeServiceMaps(limits: FakeLimits = {}): FakeServiceMaps {
	const kernel = new FakeKernel();
	const sizes = new Map<string, number | undefined>([
		['frontends', limits.frontends],
		['backends', limits.backends],
		['source_ranges', limits.sourceRanges],
	]);
	// user space writes, deletes and dumps only whole prefixes, so a hash is enough for an LPM trie
	const make = (name: string): BpfMap => {
		const shape: MapShape = MAPS[name as keyof typeof MAPS];
		const spec = { ...shape, maxEntries: sizes.get(name) ?? shape.maxEntries };
		return shape.type === MapType.ARRAY ? new FakeArray(kernel, spec) : new FakeHash(kernel, spec);
	};
	return { kernel, ...serviceMaps(make, new FakeTableSegments(kernel, limits.chunks, limits.segments)) };
}

export { FakeKernel, type FakeWrite } from './fake-kernel.ts';
export { FakeArray, FakeHash, type FakeMapSpec } from './fake-map.ts';
