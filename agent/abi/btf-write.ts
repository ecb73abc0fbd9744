import type { StructLayout } from './struct.ts';

/** BTF of a map's key and value, with the ids of both types. */
export interface MapBtf {
	/** Content for BPF_BTF_LOAD. */
	readonly data: Uint8Array;
	readonly keyType: number;
	readonly valueType: number;
}

const HEADER = 24;
const KIND = { int: 1, array: 3, struct: 4 } as const;

/** Collects types and strings; ids start at 1. */
class Writer {
	readonly #words: number[] = [];
	#strings = '\0';
	#count = 0;
	readonly #ids = new Map<string, number>();

	text(name: string): number {
		const at = this.#strings.length;
		this.#strings += `${name}\0`;
		return at;
	}

	add(name: string, kind: number, length: number, sizeOrType: number, ...rest: number[]): number {
		this.#words.push(name === '' ? 0 : this.text(name), (kind << 24) | length, sizeOrType, ...rest);
		this.#count += 1;
		return this.#count;
	}

	/** u8..u64, or an array of them. */
	type(name: string): number {
		const known = this.#ids.get(name);
		if (known !== undefined) return known;
		const id = this.#make(name);
		this.#ids.set(name, id);
		return id;
	}

	#make(name: string): number {
		const array = /^(u\d+)\[(\d+)\]$/.exec(name);
		if (array)
			return this.add('', KIND.array, 0, 0, this.type(array[1]!), this.type('u32'), Number(array[2]));
		const bits = Number(/^u(8|16|32|64)$/.exec(name)?.[1] ?? 0);
		if (bits === 0) throw new RangeError(`Cannot write BTF of the type ${name}`);
		return this.add(`__u${bits}`, KIND.int, 0, bits / 8, bits);
	}

	bytes(): Uint8Array {
		const strings = new TextEncoder().encode(this.#strings);
		const types = this.#words.length * 4;
		const out = new Uint8Array(HEADER + types + strings.length);
		const view = new DataView(out.buffer);
		view.setUint16(0, 0xeb9f, true);
		view.setUint8(2, 1);
		for (const [i, word] of [HEADER, 0, types, types, strings.length].entries()) {
			view.setUint32(4 + 4 * i, word, true);
		}
		for (const [i, word] of this.#words.entries()) view.setUint32(HEADER + 4 * i, word, true);
		out.set(strings, HEADER + types);
		return out;
	}
}

/**
 * BTF for a map from __u32 to this struct, so that bpftool can dump the map by field. The fields
 * must be unsigned integers or arrays of them.
 * @throws RangeError for other fields
 */
export function arrayMapBtf(value: StructLayout): MapBtf {
	const writer = new Writer();
	const keyType = writer.type('u32');
	const types = value.fields.map((field) => writer.type(field.type));
	const members = value.fields.flatMap((field, i) => [writer.text(field.name), types[i]!, field.offset * 8]);
	const valueType = writer.add(value.type, KIND.struct, value.fields.length, value.size, ...members);
	return { data: writer.bytes(), keyType, valueType };
}
