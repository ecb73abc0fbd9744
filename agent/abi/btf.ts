/**
 * Reads BTF, the type information that clang writes into BPF objects and that the kernel keeps for
 * maps (Documentation/bpf/btf.rst). The parser keeps data types and skips functions.
 */
export interface BtfMember {
	readonly name: string;
	readonly type: number;
	/** Bytes; for a bit field, the byte in which it begins. */
	readonly offset: number;
	readonly bitField: boolean;
}

export type BtfType =
	| { readonly kind: 'int'; readonly name: string; readonly size: number; readonly signed: boolean }
	| {
			readonly kind: 'ref';
			readonly how: 'ptr' | 'typedef' | 'modifier';
			readonly name: string;
			readonly type: number;
	  }
	| { readonly kind: 'array'; readonly name: string; readonly type: number; readonly length: number }
	| {
			readonly kind: 'struct' | 'union';
			readonly name: string;
			readonly size: number;
			readonly members: readonly BtfMember[];
	  }
	| {
			readonly kind: 'enum';
			readonly name: string;
			readonly size: number;
			readonly values: readonly (readonly [string, number])[];
	  }
	| { readonly kind: 'var'; readonly name: string; readonly type: number }
	| {
			readonly kind: 'datasec';
			readonly name: string;
			readonly vars: readonly { type: number; offset: number; size: number }[];
	  }
	| { readonly kind: 'other'; readonly name: string };

/** Types by id; id 0 is void. */
export type Btf = readonly BtfType[];

const MAGIC = 0xeb9f;
const HEADER = 24;

interface Cursor {
	readonly view: DataView;
	readonly name: (offset: number) => string;
	at: number;
}

/**
 * Parses the content of a .BTF section.
 * @throws RangeError unless it is little-endian BTF version 1
 */
export function parseBtf(data: Uint8Array): Btf {
	const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
	if (data.length < HEADER || view.getUint16(0, true) !== MAGIC || view.getUint8(2) !== 1) {
		throw new RangeError('Cannot parse BTF: no little-endian BTF version 1 header');
	}
	const header = view.getUint32(4, true);
	const strings = header + view.getUint32(16, true);
	const decoder = new TextDecoder();
	const name = (offset: number) => {
		const start = strings + offset;
		return decoder.decode(data.subarray(start, data.indexOf(0, start)));
	};
	const cursor: Cursor = { view, name, at: header + view.getUint32(8, true) };
	const end = cursor.at + view.getUint32(12, true);
	const types: BtfType[] = [{ kind: 'other', name: 'void' }];
	while (cursor.at < end) types.push(parseType(cursor));
	return types;
}

/** Fields of struct btf_type. */
interface Head {
	readonly name: string;
	readonly kind: number;
	/** vlen: number of items that follow. */
	readonly length: number;
	readonly kflag: boolean;
	/** size or type, depending on the kind. */
	readonly word: number;
}

function parseType(cursor: Cursor): BtfType {
	const { view, at } = cursor;
	const info = view.getUint32(at + 4, true);
	const head: Head = {
		name: cursor.name(view.getUint32(at, true)),
		kind: (info >>> 24) & 0x1f,
		length: info & 0xffff,
		kflag: info >>> 31 === 1,
		word: view.getUint32(at + 8, true),
	};
	cursor.at += 12;
	return parseList(cursor, head) ?? parseScalar(cursor, head);
}

/** Parses kinds that are followed by `length` items. @returns undefined for other kinds */
function parseList(cursor: Cursor, { name, kind, length, kflag, word }: Head): BtfType | undefined {
	const u32 = (offset: number) => cursor.view.getUint32(offset, true);
	const items = <T>(size: number, read: (offset: number) => T): T[] => {
		const out = Array.from({ length }, (_, i) => read(cursor.at + i * size));
		cursor.at += length * size;
		return out;
	};
	switch (kind) {
		case 4:
		case 5: {
			const members = items(12, (o) => member(cursor.name(u32(o)), u32(o + 4), u32(o + 8), kflag));
			return { kind: kind === 4 ? 'struct' : 'union', name, size: word, members };
		}
		case 6: {
			const values = items(8, (o) => [cursor.name(u32(o)), cursor.view.getInt32(o + 4, true)] as const);
			return { kind: 'enum', name, size: word, values };
		}
		case 13:
			cursor.at += length * 8;
			return { kind: 'other', name };
		case 15: {
			const vars = items(12, (o) => ({ type: u32(o), offset: u32(o + 4), size: u32(o + 8) }));
			return { kind: 'datasec', name, vars };
		}
		case 19: {
			// 64-bit constants: reads the low half only, since the project's constants fit into it
			const values = items(12, (o) => [cursor.name(u32(o)), u32(o + 4)] as const);
			return { kind: 'enum', name, size: word, values };
		}
		default:
			return undefined;
	}
}

function parseScalar(cursor: Cursor, { name, kind, word }: Head): BtfType {
	const next = () => {
		cursor.at += 4;
		return cursor.view.getUint32(cursor.at - 4, true);
	};
	switch (kind) {
		case 1:
			return { kind: 'int', name, size: word, signed: ((next() >>> 24) & 1) === 1 };
		case 2:
			return { kind: 'ref', how: 'ptr', name, type: word };
		case 3: {
			const [type, , length] = [next(), next(), next()];
			return { kind: 'array', name, type, length };
		}
		case 8:
			return { kind: 'ref', how: 'typedef', name, type: word };
		case 9:
		case 10:
		case 11:
		case 18:
			return { kind: 'ref', how: 'modifier', name, type: word };
		case 14:
			next();
			return { kind: 'var', name, type: word };
		case 17:
			next();
			return { kind: 'other', name };
		case 7:
		case 12:
		case 16:
			return { kind: 'other', name };
		default:
			throw new RangeError(`Cannot parse BTF: unknown kind ${kind} of type ${name}`);
	}
}

/**
 * Splits the offset word of a member. With kflag, its upper 8 bits are the width of a bit field.
 * Without kflag, only an offset within a byte reveals a bit field.
 */
function member(name: string, type: number, bits: number, kflag: boolean): BtfMember {
	const offset = kflag ? bits & 0xffffff : bits;
	const bitField = (kflag && bits >>> 24 !== 0) || offset % 8 !== 0;
	return { name, type, offset: Math.floor(offset / 8), bitField };
}

/** The type behind typedefs and modifiers. @throws RangeError for an unknown id */
export function resolve(btf: Btf, id: number): BtfType {
	let type = btf[id];
	while (type?.kind === 'ref' && type.how !== 'ptr') type = btf[type.type];
	if (!type) throw new RangeError(`Cannot resolve BTF type ${id}`);
	return type;
}

/** Size of a type in bytes. @throws RangeError for a type without a size */
export function sizeOf(btf: Btf, id: number): number {
	const type = resolve(btf, id);
	if (type.kind === 'array') return type.length * sizeOf(btf, type.type);
	if (type.kind === 'ref') return 8;
	if ('size' in type) return type.size;
	throw new RangeError(`BTF type ${type.name || id} has no size`);
}

/** Variables of a section (.rodata, .maps) by name, with type, offset and size in bytes. */
export function datasec(
	btf: Btf,
	section: string,
): Map<string, { type: number; offset: number; size: number }> {
	const found = btf.find((type) => type.kind === 'datasec' && type.name === section);
	const out = new Map<string, { type: number; offset: number; size: number }>();
	if (found?.kind !== 'datasec') return out;
	for (const item of found.vars) {
		const variable = btf[item.type];
		if (variable?.kind === 'var') out.set(variable.name, { ...item, type: variable.type });
	}
	return out;
}
