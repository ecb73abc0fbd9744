import { type Btf, parseBtf } from '../abi/btf.ts';
import { MAPS, STRUCTS } from '../abi/layout.ts';
import { type MapShape, mapShapes, structLayouts } from '../abi/shape.ts';
import type { StructLayout } from '../abi/struct.ts';
import { BpfError } from './error.ts';
import type { Native } from './ffi/library.ts';
import type { KernelMap } from './kernel-map.ts';

/** The agent and an object or a pinned map use different layouts for the same bytes. */
export class LayoutError extends Error {
	readonly differences: readonly string[];

	constructor(object: string, differences: readonly string[], remedy: string) {
		super(`Layout of ${object} differs from agent/abi/layout.ts: ${differences.join('; ')}; ${remedy}`);
		this.name = 'LayoutError';
		this.differences = differences;
	}
}

/** Differences between two layouts of a struct, one line per field. */
export function structDifferences(expected: StructLayout, found: StructLayout): string[] {
	const text = (field: { type: string; offset: number } | undefined) =>
		field ? `${field.type} at byte ${field.offset}` : 'absent';
	const out: string[] = [];
	for (const name of new Set([...expected.fields, ...found.fields].map((field) => field.name))) {
		const [want, have] = [expected, found].map((layout) =>
			text(layout.fields.find((field) => field.name === name)),
		);
		if (want !== have) out.push(`struct ${expected.type}: field ${name} is ${have}, expected ${want}`);
	}
	if (out.length === 0 && expected.size !== found.size) {
		out.push(`struct ${expected.type} has ${found.size} bytes, expected ${expected.size}`);
	}
	return out;
}

/** Differences in the type, key or value of a map definition. */
function mapDifferences(found: MapShape): string[] {
	const expected: MapShape | undefined = (MAPS as Record<string, MapShape>)[found.name];
	if (!expected) return [];
	const fields = ['type', 'key', 'value', 'keySize', 'valueSize'] as const;
	return fields
		.filter((field) => found[field] !== expected[field])
		.map((field) => `map ${found.name}: ${field} is ${found[field]}, expected ${expected[field]}`);
}

/** Compares an object's BTF with the codecs. @throws LayoutError with structs, maps and fields. */
export function checkObjectLayout(object: string, btf: Btf): void {
	const structs = structLayouts(btf);
	const differences = [
		...STRUCTS.flatMap((expected) => {
			const found = structs.get(expected.type);
			return found ? structDifferences(expected, found) : [];
		}),
		...mapShapes(btf).flatMap(mapDifferences),
	];
	if (differences.length === 0) return;
	throw new LayoutError(
		object,
		differences,
		'run `make layout` after a change of bpf/abi.h, and build the object again',
	);
}

/**
 * Compares a pinned map with the codecs: sizes always, fields if this process may read the kernel's
 * BTF (CAP_SYS_ADMIN). @throws LayoutError with the map and the field.
 */
export function checkPinnedLayout(native: Native, map: KernelMap, path: string): void {
	const expected: MapShape | undefined = (MAPS as Record<string, MapShape>)[map.name];
	if (!expected) return;
	const differences: string[] = [];
	const { keySize, valueSize } = map.info;
	if (keySize !== expected.keySize)
		differences.push(`key has ${keySize} bytes, expected ${expected.keySize}`);
	if (valueSize !== expected.valueSize) {
		differences.push(`value has ${valueSize} bytes, expected ${expected.valueSize}`);
	}
	const btf = mapBtf(native, map);
	if (btf) {
		const structs = structLayouts(btf);
		for (const layout of STRUCTS) {
			if (layout.type !== expected.key && layout.type !== expected.value) continue;
			const found = structs.get(layout.type);
			if (found) differences.push(...structDifferences(layout, found));
		}
	}
	if (differences.length === 0) return;
	throw new LayoutError(
		`map ${map.name} pinned at ${path}`,
		differences,
		'run `maglane cleanup`, then start again',
	);
}

/** The kernel's BTF of a map; undefined when it has none or this process may not read it. */
export function mapBtf(native: Native, map: KernelMap): Btf | undefined {
	if (map.info.btfId === 0) return undefined;
	const fd = native.call.bpf_btf_get_fd_by_id(map.info.btfId);
	if (fd < 0) return undefined;
	try {
		// Two calls: one for the size, one for the data. struct bpf_btf_info: address, size, id.
		const size = new DataView(btfInfo(native, fd, 0n, 0).buffer).getUint32(8, true);
		const data = new Uint8Array(size);
		native.hold([data], () => btfInfo(native, fd, native.address(data), size));
		return parseBtf(data);
	} finally {
		native.call.close(fd);
	}
}

function btfInfo(native: Native, fd: number, address: bigint, size: number): Uint8Array<ArrayBuffer> {
	const info = new Uint8Array(16);
	const view = new DataView(info.buffer);
	view.setBigUint64(0, address, true);
	view.setUint32(8, size, true);
	const length = new Uint8Array(4);
	new DataView(length.buffer).setUint32(0, info.length, true);
	const result = native.call.bpf_obj_get_info_by_fd(fd, info, length);
	if (result < 0) throw new BpfError({ operation: 'read', object: 'BTF', errno: -result });
	return info;
}
