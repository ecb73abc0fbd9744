/**
 * Codec of fixed-size little-endian data that the BPF programs and this process exchange. Addresses
 * are plain bytes, as in a packet. Integers are in the byte order of the machine (bpf/abi.h), and
 * maglane supports little-endian machines only.
 */
export interface Codec<T> {
	/** C type, for messages: u32, u8[16], frontend_key. */
	readonly type: string;
	/** Bytes. */
	readonly size: number;
	/** Writes at `offset` of the view. @throws FieldError when the value does not fit. */
	write(view: DataView, offset: number, value: T): void;
	read(view: DataView, offset: number): T;
	/** Encodes into a new array of `size` bytes. @throws FieldError when the value does not fit. */
	encode(value: T): Uint8Array;
	/** @throws RangeError when the length is not `size`. */
	decode(bytes: Uint8Array): T;
}

/** Adds encode() and decode() to the other parts of a codec. */
function codec<T>(parts: Pick<Codec<T>, 'type' | 'size' | 'write' | 'read'>): Codec<T> {
	return {
		...parts,
		encode(value) {
			const out = new Uint8Array(parts.size);
			within(parts.type, () => parts.write(new DataView(out.buffer), 0, value));
			return out;
		},
		decode: (bytes) => parts.read(viewOf(parts.type, parts.size, bytes), 0),
	};
}

/** A view of exactly `size` bytes. @throws RangeError for another length. */
export function viewOf(type: string, size: number, bytes: Uint8Array): DataView {
	if (bytes.length === size) return new DataView(bytes.buffer, bytes.byteOffset, size);
	throw new RangeError(`Cannot decode ${type}: expected ${size} bytes, got ${bytes.length}`);
}

/** A value that does not fit its field. `path` names the fields from the outermost struct to it. */
export class FieldError extends RangeError {
	readonly path: readonly string[];
	readonly reason: string;

	constructor(path: readonly string[], reason: string) {
		super(`Cannot encode ${path.join('.').replaceAll('.[', '[')}: ${reason}`);
		this.name = 'FieldError';
		this.path = path;
		this.reason = reason;
	}
}

/** Formats a value for a message: short, and with an unambiguous type. */
export function show(value: unknown): string {
	if (typeof value === 'bigint') return `${value}n`;
	if (value instanceof Uint8Array) return `${value.length} bytes`;
	if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
	if (Array.isArray(value)) return `an array of ${value.length}`;
	return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

function integer(
	bits: 8 | 16 | 32,
	set: (view: DataView, offset: number, value: number) => void,
	get: (view: DataView, offset: number) => number,
): Codec<number> {
	const max = 2 ** bits - 1;
	return codec({
		type: `u${bits}`,
		size: bits / 8,
		write(view, offset, value) {
			if (!Number.isInteger(value) || value < 0 || value > max) {
				throw new FieldError([], `${show(value)} is not an integer 0..${max}`);
			}
			set(view, offset, value);
		},
		read: get,
	});
}

export const u8 = integer(
	8,
	(view, offset, value) => view.setUint8(offset, value),
	(view, offset) => view.getUint8(offset),
);
export const u16 = integer(
	16,
	(view, offset, value) => view.setUint16(offset, value, true),
	(view, offset) => view.getUint16(offset, true),
);
export const u32 = integer(
	32,
	(view, offset, value) => view.setUint32(offset, value, true),
	(view, offset) => view.getUint32(offset, true),
);

const U64_MAX = 2n ** 64n - 1n;

/** Counters and cookies are bigint, since a number is exact to 53 bits only. */
export const u64: Codec<bigint> = codec({
	type: 'u64',
	size: 8,
	write(view, offset, value) {
		if (typeof value !== 'bigint' || value < 0n || value > U64_MAX) {
			throw new FieldError([], `${show(value)} is not a bigint 0..2^64-1`);
		}
		view.setBigUint64(offset, value, true);
	},
	read: (view, offset) => view.getBigUint64(offset, true),
});

/** Exactly `length` bytes; read() returns a copy. An address is `bytes(16)`. */
export function bytes(length: number): Codec<Uint8Array> {
	return codec({
		type: `u8[${length}]`,
		size: length,
		write(view, offset, value) {
			if (!(value instanceof Uint8Array) || value.length !== length) {
				throw new FieldError([], `expected ${length} bytes, got ${show(value)}`);
			}
			new Uint8Array(view.buffer, view.byteOffset + offset, length).set(value);
		},
		read: (view, offset) => new Uint8Array(view.buffer, view.byteOffset + offset, length).slice(),
	});
}

/** Exactly `length` consecutive elements. */
export function array<T>(element: Codec<T>, length: number): Codec<readonly T[]> {
	return codec({
		type: `${element.type}[${length}]`,
		size: element.size * length,
		write(view, offset, value) {
			if (!Array.isArray(value) || value.length !== length) {
				throw new FieldError([], `expected an array of ${length}, got ${show(value)}`);
			}
			for (let i = 0; i < length; i++) {
				within(`[${i}]`, () => element.write(view, offset + i * element.size, value[i] as T));
			}
		},
		read: (view, offset) => Array.from({ length }, (_, i) => element.read(view, offset + i * element.size)),
	});
}

/** Runs the write of one part, and prepends its name to the path of a FieldError. */
export function within(name: string, write: () => void): void {
	try {
		write();
	} catch (error) {
		if (error instanceof FieldError) throw new FieldError([name, ...error.path], error.reason);
		throw error;
	}
}
