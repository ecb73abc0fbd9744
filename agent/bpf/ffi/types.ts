/**
 * Argument and result classes of a C function for the calling convention: only integers and
 * pointers, which both FFIs pass in integer registers.
 */
export type ArgClass = 'i32' | 'u32' | 'u64' | 'i64' | 'bool' | 'ptr' | 'str';
export type ResultClass = ArgClass | 'void';

/** An address, or memory whose address is passed. null is NULL. */
export type Pointer = Uint8Array | bigint | null;

interface ArgTypes {
	i32: number;
	u32: number;
	u64: number | bigint;
	i64: number | bigint;
	bool: boolean;
	ptr: Pointer;
	/** Passed to C as NUL-terminated UTF-8. */
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
 * How a function reports failure. `negative`: the result is -errno (libbpf 1.x). `errno`: the
 * result is -1 (or NULL) and errno is set (libc, and libbpf functions that return pointers). The
 * binding turns -1 into -errno, so that callers handle one convention. `never`: the result is plain
 * data.
 */
export type Failure = 'negative' | 'errno' | 'never';

export interface Signature {
	readonly library: 'libbpf' | 'libc';
	readonly result: ResultClass;
	readonly args: readonly ArgClass[];
	readonly failure: Failure;
	/** Missing in some libbpf 1.x. Then the call is undefined, and the caller needs a fallback. */
	readonly optional?: true;
}

export type ArgsOf<A extends readonly ArgClass[]> = { -readonly [I in keyof A]: ArgTypes[A[I]] };
export type CallOf<S extends Signature> = (...args: ArgsOf<S['args']>) => ResultTypes[S['result']];

/** The calls of a table of signatures. */
export type CallsOf<T extends Record<string, Signature>> = {
	readonly [K in keyof T]: T[K] extends { optional: true } ? CallOf<T[K]> | undefined : CallOf<T[K]>;
};

/** An argument in the form that a driver takes: a number, an address, or memory. */
export type RawArg = number | bigint | Uint8Array | null;

/** Interface that each FFI library implements. */
export interface Driver {
	readonly name: 'koffi' | 'ffi-napi';
	/**
	 * @returns the function, or undefined when the library lacks it.
	 * @throws Error when the library cannot be loaded.
	 */
	symbol(
		soname: string,
		name: string,
		signature: Signature,
	): ((args: RawArg[]) => number | bigint) | undefined;
	/** Address of the first byte. The memory does not move; the caller must keep it alive. */
	address(memory: Uint8Array): bigint;
	/** errno after the last call. */
	errno(): number;
	/**
	 * Makes a C function `int (*)(int, void *, void *)` that runs `callback`. `release` invalidates
	 * its pointer.
	 */
	callback(callback: PrintCallback): { readonly pointer: bigint; release(): void };
}

/** libbpf_print_fn_t: level, format, address of a va_list. */
export type PrintCallback = (level: number, format: bigint, args: bigint) => number;
