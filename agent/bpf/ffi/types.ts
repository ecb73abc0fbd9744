/**
 * What a C function takes and gives, as far as the calling convention cares: only integers and pointers,
 * which both FFIs pass in integer registers.
 */
export type ArgClass = 'i32' | 'u32' | 'u64' | 'i64' | 'bool' | 'ptr' | 'str';
export type ResultClass = ArgClass | 'void';

/** An address, or memory whose address is meant. null is NULL. */
export type Pointer = Uint8Array | bigint | null;

interface ArgTypes {
	i32: number;
	u32: number;
	u64: number | bigint;
	i64: number | bigint;
	bool: boolean;
	ptr: Pointer;
	/** Given to C as UTF-8 with a NUL behind it. */
	str: string | null;
}

interface ResultTypes {
	i32: number;
	u32: number;
	u64: bigint;
	i64: number;
	bool: boolean;
	/** 0n is NULL. */
	ptr: bigint;
	/** A copy. */
	str: string | undefined;
	void: undefined;
}

/**
 * How failure is told. `negative`: the result is -errno (libbpf 1.x). `errno`: the result is -1 (or NULL) and
 * errno is set (libc, and libbpf where it gives pointers); the binding turns -1 into -errno, so that callers
 * see one way only. `never`: the result is plain data.
 */
export type Failure = 'negative' | 'errno' | 'never';

export interface Signature {
	readonly library: 'libbpf' | 'libc';
	readonly result: ResultClass;
	readonly args: readonly ArgClass[];
	readonly failure: Failure;
	/** Missing in some libbpf 1.x: then the call is undefined, and its user has another way. */
	readonly optional?: true;
}

export type ArgsOf<A extends readonly ArgClass[]> = { -readonly [I in keyof A]: ArgTypes[A[I]] };
export type CallOf<S extends Signature> = (...args: ArgsOf<S['args']>) => ResultTypes[S['result']];

/** The calls of a table of signatures. */
export type CallsOf<T extends Record<string, Signature>> = {
	readonly [K in keyof T]: T[K] extends { optional: true } ? CallOf<T[K]> | undefined : CallOf<T[K]>;
};

/** An argument as a driver takes it: everything is a number, an address, or memory. */
export type RawArg = number | bigint | Uint8Array | null;

/** What an FFI library must do. */
export interface Driver {
	readonly name: 'koffi' | 'ffi-napi';
	/**
	 * The function, or undefined when the library lacks it. @throws Error when the library cannot be loaded.
	 */
	symbol(
		soname: string,
		name: string,
		signature: Signature,
	): ((args: RawArg[]) => number | bigint) | undefined;
	/** Address of the first byte. The memory does not move; the caller must keep it alive. */
	address(memory: Uint8Array): bigint;
	/** errno as the last call left it. */
	errno(): number;
	/**
	 * A C function `int (*)(int, void *, void *)` that runs `callback`. `release` makes its pointer invalid.
	 */
	callback(callback: PrintCallback): { readonly pointer: bigint; release(): void };
}

/** libbpf_print_fn_t: level, format, address of a va_list. */
export type PrintCallback = (level: number, format: bigint, args: bigint) => number;
