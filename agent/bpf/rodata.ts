import { type Btf, datasec, resolve, sizeOf } from '../abi/btf.ts';
import { bytes, type Codec, FieldError, u8, u16, u32, u64 } from '../abi/codec.ts';

/** Values of `const volatile` variables by their C names. 64-bit ones are bigint. */
export type RodataValues = Readonly<Record<string, number | bigint | Uint8Array>>;

/** One write to section .rodata. */
export interface RodataWrite {
	readonly name: string;
	/** Bytes from the start of the section. */
	readonly offset: number;
	readonly bytes: Uint8Array;
}

function codecOf(btf: Btf, type: number): Codec<never> | undefined {
	const resolved = resolve(btf, type);
	if (resolved.kind === 'int' && !resolved.signed) {
		return { 1: u8, 2: u16, 4: u32, 8: u64 }[resolved.size] as Codec<never> | undefined;
	}
	return resolved.kind === 'array' ? (bytes(sizeOf(btf, type)) as Codec<never>) : undefined;
}

/**
 * Encodes values and finds their offsets in the BTF of an opened object, where libbpf has set them.
 * @throws RangeError with the object, and the variable that is unknown or out of range.
 */
export function rodataWrites(object: string, btf: Btf, values: RodataValues): RodataWrite[] {
	const variables = datasec(btf, '.rodata');
	return Object.entries(values).map(([name, value]) => {
		const variable = variables.get(name);
		if (!variable) {
			const known = [...variables.keys()].join(', ') || 'none';
			throw new RangeError(`Cannot set ${name} in ${object}: it has no such variable; it has ${known}`);
		}
		const codec = codecOf(btf, variable.type);
		if (!codec)
			throw new RangeError(
				`Cannot set ${name} in ${object}: only unsigned integers and byte arrays can be set`,
			);
		const out = new Uint8Array(codec.size);
		try {
			codec.write(new DataView(out.buffer), 0, value as never);
		} catch (cause) {
			if (!(cause instanceof FieldError)) throw cause;
			throw new RangeError(`Cannot set ${name} in ${object}: ${cause.reason}`, { cause });
		}
		return { name, offset: variable.offset, bytes: out };
	});
}
