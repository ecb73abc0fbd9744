import koffi from 'koffi';
import type { Driver, PrintCallback, ResultClass, Signature } from './types.ts';

const TYPES: Record<ResultClass, string> = {
	i32: 'int32',
	u32: 'uint32',
	u64: 'uint64',
	i64: 'int64',
	bool: 'uint8',
	ptr: 'void *',
	str: 'void *',
	void: 'void',
};

/** koffi: prebuilt, about 1 us per map update, usable in worker threads. */
export function koffiDriver(): Driver {
	const libraries = new Map<string, ReturnType<typeof koffi.load>>();
	const open = (soname: string) => {
		const library = libraries.get(soname) ?? koffi.load(soname);
		libraries.set(soname, library);
		return library;
	};
	const print = koffi.pointer(koffi.proto('int32', ['int32', 'void *', 'void *']));
	return {
		name: 'koffi',
		symbol(soname: string, name: string, signature: Signature) {
			const library = open(soname);
			// A separate lookup, so that only a missing symbol counts as missing.
			try {
				library.symbol(name);
			} catch {
				return undefined;
			}
			const types = signature.args.map((type) => TYPES[type]);
			const call = library.func(name, TYPES[signature.result], types);
			return (args) => (call(...args) as number | bigint | null) ?? 0n;
		},
		address: (memory) => koffi.address(memory),
		errno: () => koffi.errno(),
		callback(callback: PrintCallback) {
			const run = (level: number, format: bigint | null, args: bigint | null) =>
				callback(level, format ?? 0n, args ?? 0n);
			const pointer = koffi.register(run, print);
			return { pointer, release: () => koffi.unregister(pointer) };
		},
	};
}
