import { createRequire } from 'node:module';
import type { Driver, PrintCallback, RawArg, Signature } from './types.ts';

/** The used parts of ffi-napi and ref-napi. Both are optional and have no types of their own. */
interface Ffi {
	DynamicLibrary: new (path: string) => { get(symbol: string): Buffer };
	CIF(result: string, args: string[]): Buffer;
	Callback(result: string, args: string[], run: (...args: never[]) => number): Buffer;
}
interface Ref {
	address(memory: Uint8Array): number;
	readPointer(from: Buffer, offset: number, size: number): Buffer;
}
interface Bindings {
	ffi_call(cif: Buffer, fn: Buffer, result: Uint8Array, args: Uint8Array): void;
}

const TWO_32 = 2 ** 32;

/**
 * ffi-napi through its low-level ffi_call with preallocated slots: 1.5 us per map update, against
 * 15-40 us and steady garbage with its ordinary calls. Every argument is a 64-bit slot, which is
 * correct for integers and pointers only. Main thread only: ffi-napi crashes when a worker ends.
 */
export function ffiNapiDriver(): Driver {
	const require = createRequire(import.meta.url);
	const ffi = require('ffi-napi') as Ffi;
	const ref = require('ref-napi') as Ref;
	const bindings = require('ffi-napi/lib/bindings') as Bindings;
	const libraries = new Map<string, InstanceType<Ffi['DynamicLibrary']>>();
	const open = (soname: string) => {
		const library = libraries.get(soname) ?? new ffi.DynamicLibrary(soname);
		libraries.set(soname, library);
		return library;
	};
	const errno = errnoView(ffi, ref, bindings, open('libc.so.6').get('__errno_location'));
	// C holds only the address of a callback; this set keeps its memory alive.
	const callbacks = new Set<Buffer>();
	return {
		name: 'ffi-napi',
		symbol(soname, name, signature) {
			const library = open(soname);
			let fn: Buffer;
			try {
				fn = library.get(name);
			} catch {
				return undefined;
			}
			return prepare(ffi, ref, bindings, fn, signature);
		},
		address: (memory) => BigInt(ref.address(memory)),
		errno: () => errno.readInt32LE(0),
		callback(callback: PrintCallback) {
			const address = (value: string | number) => BigInt(value);
			const run = (level: number, format: string | number, args: string | number) =>
				callback(level, address(format), address(args));
			const made = ffi.Callback('int32', ['int32', 'uint64', 'uint64'], run as (...args: never[]) => number);
			callbacks.add(made);
			return { pointer: BigInt(ref.address(made)), release: () => callbacks.delete(made) };
		},
	};
}

/** errno has a fixed address per thread: a view on it needs no call that could change errno. */
function errnoView(ffi: Ffi, ref: Ref, bindings: Bindings, location: Buffer): Buffer {
	const pointer = Buffer.alloc(8);
	bindings.ffi_call(ffi.CIF('uint64', []), location, pointer, Buffer.alloc(8));
	return ref.readPointer(pointer, 0, 4);
}

interface Frame {
	readonly numbers: BigInt64Array;
	readonly halves: Uint32Array;
	/** Keeps the memory that slots point to alive until the next call of this function. */
	held: RawArg[];
}

function prepare(ffi: Ffi, ref: Ref, bindings: Bindings, fn: Buffer, signature: Signature) {
	const count = signature.args.length;
	const cif = ffi.CIF('uint64', Array<string>(count).fill('uint64'));
	const slots = Buffer.alloc(8 * Math.max(count, 1));
	const list = Buffer.alloc(8 * Math.max(count, 1));
	const base = BigInt(ref.address(slots));
	for (let i = 0; i < count; i++) list.writeBigUInt64LE(base + BigInt(8 * i), 8 * i);
	const result = Buffer.alloc(8);
	const read = reader(signature, result);
	const frame: Frame = {
		numbers: new BigInt64Array(slots.buffer, slots.byteOffset, slots.length / 8),
		halves: new Uint32Array(slots.buffer, slots.byteOffset, slots.length / 4),
		held: [],
	};
	return (args: RawArg[]): number | bigint => {
		frame.held = args;
		for (let i = 0; i < count; i++) put(ref, frame, i, args[i] ?? null);
		bindings.ffi_call(cif, fn, result, list);
		return read();
	};
}

/** Fills a slot; numbers are sign-extended, as C does for int. */
function put(ref: Ref, frame: Frame, i: number, arg: RawArg): void {
	if (typeof arg === 'bigint') {
		frame.numbers[i] = arg;
		return;
	}
	const number = arg === null ? 0 : typeof arg === 'number' ? arg : ref.address(arg);
	frame.halves[2 * i] = number;
	frame.halves[2 * i + 1] = Math.floor(number / TWO_32);
}

/** The upper half of a 32-bit result is undefined. */
function reader(signature: Signature, result: Buffer): () => number | bigint {
	switch (signature.result) {
		case 'i32':
			return () => result.readInt32LE(0);
		case 'u32':
			return () => result.readUInt32LE(0);
		case 'bool':
			return () => result.readUInt8(0);
		case 'i64':
			return () => result.readBigInt64LE(0);
		case 'void':
			return () => 0;
		default:
			return () => result.readBigUInt64LE(0);
	}
}
