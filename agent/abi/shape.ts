import { type Btf, type BtfType, datasec, resolve, sizeOf } from './btf.ts';
import type { StructLayout } from './struct.ts';

/** A map, as its definition in section .maps declares it. Sizes are bytes. */
export interface MapShape {
	readonly name: string;
	/** enum bpf_map_type. */
	readonly type: number;
	/** Struct or integer type of key and value; undefined where the definition has only a size. */
	readonly key: string | undefined;
	readonly value: string | undefined;
	readonly keySize: number;
	readonly valueSize: number;
	readonly maxEntries: number;
	/** BPF_F_*. */
	readonly flags: number;
	/** Whether libbpf pins the map by name (LIBBPF_PIN_BY_NAME). */
	readonly pinned: boolean;
}

/**
 * Name of a type: u8..u64, u8[16], or that of a struct. A struct whose only member is a byte array
 * (struct addr) counts as that array.
 */
export function typeName(btf: Btf, id: number): string {
	const type = resolve(btf, id);
	switch (type.kind) {
		case 'int':
			return `${type.signed ? 's' : 'u'}${type.size * 8}`;
		case 'enum':
			return `u${type.size * 8}`;
		case 'array':
			return `${typeName(btf, type.type)}[${type.length}]`;
		case 'struct': {
			const only = type.members.length === 1 ? typeName(btf, type.members[0]!.type) : '';
			return only.startsWith('u8[') ? only : type.name;
		}
		default:
			return type.name || type.kind;
	}
}

function shapeOf(btf: Btf, type: BtfType & { kind: 'struct' | 'union' }): StructLayout {
	const fields = type.members.map((member) => ({
		name: member.name,
		offset: member.offset,
		type: member.bitField ? 'bit field' : typeName(btf, member.type),
		size: sizeOf(btf, member.type),
	}));
	return { type: type.name, size: type.size, fields };
}

/** Layouts of all named structs, by name. */
export function structLayouts(btf: Btf): Map<string, StructLayout> {
	const out = new Map<string, StructLayout>();
	for (const type of btf)
		if (type.kind === 'struct' && type.name !== '') out.set(type.name, shapeOf(btf, type));
	return out;
}

/** Constants of all named enums, by name and in the order of the C source. */
export function enumShapes(btf: Btf): Map<string, readonly (readonly [string, number])[]> {
	const out = new Map<string, readonly (readonly [string, number])[]>();
	for (const type of btf) if (type.kind === 'enum' && type.name !== '') out.set(type.name, type.values);
	return out;
}

/**
 * Maps of section .maps. Each member is a pointer: __uint() points to an array of n elements,
 * __type() to the type.
 */
export function mapShapes(btf: Btf): MapShape[] {
	return [...datasec(btf, '.maps')].map(([name, variable]) => mapShape(btf, name, variable.type));
}

function mapShape(btf: Btf, name: string, id: number): MapShape {
	const definition = resolve(btf, id);
	if (definition.kind !== 'struct') throw new RangeError(`Map ${name} is not defined by a struct`);
	const target = (member: string): number | undefined => {
		const found = definition.members.find((m) => m.name === member);
		const pointer = found && resolve(btf, found.type);
		return pointer?.kind === 'ref' ? pointer.type : undefined;
	};
	const uint = (member: string): number => {
		const id = target(member);
		const type = id === undefined ? undefined : resolve(btf, id);
		return type?.kind === 'array' ? type.length : 0;
	};
	const key = target('key');
	const value = target('value');
	return {
		name,
		type: uint('type'),
		key: key === undefined ? undefined : typeName(btf, key),
		value: value === undefined ? undefined : typeName(btf, value),
		keySize: key === undefined ? uint('key_size') : sizeOf(btf, key),
		valueSize: value === undefined ? uint('value_size') : sizeOf(btf, value),
		maxEntries: uint('max_entries'),
		flags: uint('map_flags'),
		pinned: uint('pinning') === 1,
	};
}
