import { type Codec, FieldError, show, viewOf, within } from './codec.ts';

/** A member of a C struct, or its padding. */
export interface FieldLayout {
	/** Name in C. */
	readonly name: string;
	/** Bytes from the start of the struct. */
	readonly offset: number;
	readonly type: string;
	/** Bytes. */
	readonly size: number;
}

/** Shape of a C struct, by which a codec is compared with BTF. */
export interface StructLayout {
	/** Name in C. */
	readonly type: string;
	/** Bytes. */
	readonly size: number;
	readonly fields: readonly FieldLayout[];
}

/** Codec of a C struct. It writes padding as zeros; its errors name the struct and the field. */
export interface StructCodec<T extends object> extends Codec<T>, StructLayout {
	/** Encodes values one after the other, as the batch calls of a map expect them. */
	encodeAll(values: readonly T[]): Uint8Array;
}

/** [name in C, offset, codec]. Padding has no value of its own: [name, offset, bytes]. */
export type FieldSpec<V> = readonly [name: string, offset: number, codec: Codec<V>];
export type PadSpec = readonly [name: string, offset: number, size: number];

/** Fields by their names in TypeScript. */
export type FieldSpecs<T extends object> = { readonly [K in keyof T]-?: FieldSpec<T[K]> };

function layoutOf<T extends object>(fields: FieldSpecs<T>, pads: readonly PadSpec[]): FieldLayout[] {
	const named = Object.values(fields as Record<string, FieldSpec<unknown>>).map(([name, offset, codec]) => ({
		name,
		offset,
		type: codec.type,
		size: codec.size,
	}));
	const padding = pads.map(([name, offset, size]) => {
		return { name, offset, type: size === 1 ? 'u8' : `u8[${size}]`, size };
	});
	return [...named, ...padding].sort((a, b) => a.offset - b.offset);
}

/** Requires that every byte belongs to one field: the kernel would read a hole as part of a key. */
function assertNoHoles(name: string, size: number, fields: readonly FieldLayout[]): void {
	let end = 0;
	for (const field of fields) {
		if (field.offset !== end) {
			throw new TypeError(`Layout of ${name} has a hole or overlap at byte ${end}, before ${field.name}`);
		}
		end += field.size;
	}
	if (end !== size) throw new TypeError(`Layout of ${name} ends at byte ${end}, expected ${size}`);
}

/**
 * Makes the codec of a struct of `size` bytes.
 * @throws TypeError unless the fields cover it exactly.
 */
export function struct<T extends object>(
	name: string,
	size: number,
	specs: FieldSpecs<T>,
	pads: readonly PadSpec[] = [],
): StructCodec<T> {
	const layout = layoutOf(specs, pads);
	assertNoHoles(name, size, layout);
	const members = Object.entries(specs as Record<string, FieldSpec<unknown>>);
	const write = (view: DataView, offset: number, value: T) => writeMembers(members, view, offset, value);
	const read = (view: DataView, offset: number): T => {
		const value: Record<string, unknown> = {};
		for (const [key, [, at, codec]] of members) value[key] = codec.read(view, offset + at);
		return value as T;
	};
	const encodeAll = (values: readonly T[]): Uint8Array => {
		const out = new Uint8Array(size * values.length);
		const view = new DataView(out.buffer);
		for (const [i, value] of values.entries()) within(name, () => write(view, i * size, value));
		return out;
	};
	return {
		type: name,
		size,
		fields: layout,
		write,
		read,
		encodeAll,
		encode: (value) => encodeAll([value]),
		decode: (bytes) => read(viewOf(name, size, bytes), 0),
	};
}

function writeMembers(
	members: readonly (readonly [string, FieldSpec<unknown>])[],
	view: DataView,
	offset: number,
	value: object,
): void {
	if (typeof value !== 'object' || value === null) {
		throw new FieldError([], `expected an object, got ${show(value)}`);
	}
	let current = '';
	try {
		for (const [key, [, at, codec]] of members) {
			current = key;
			codec.write(view, offset + at, (value as Record<string, unknown>)[key]);
		}
	} catch (error) {
		if (error instanceof FieldError) throw new FieldError([current, ...error.path], error.reason);
		throw error;
	}
}
