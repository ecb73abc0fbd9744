/** Interface to libbpf and libc for the rest of the agent, independent of the FFI. */
import type { SIGNATURES } from './signatures.ts';
import type { CallsOf, Driver, PrintCallback } from './types.ts';

/** All functions of SIGNATURES. */
export type Calls = CallsOf<typeof SIGNATURES>;

export type FfiName = Driver['name'];

/**
 * C functions and memory through one of the FFIs. Create one per process: libbpf has one printer,
 * and koffi runs C on its own stack, where a callback of ffi-napi crashes.
 */
export interface Native {
	readonly ffi: FfiName;
	/** Version string of libbpf: v1.1. */
	readonly libbpfVersion: string;
	/** The functions. Arguments are checked. A failed int result is -errno. */
	readonly call: Calls;
	/** errno of the last call that returned NULL. */
	errno(): number;
	/** Address of memory for a struct that holds pointers. Use it inside hold(). */
	address(memory: Uint8Array): bigint;
	/**
	 * Keeps memory alive while `action` runs: the garbage collector does not see addresses that C
	 * holds.
	 */
	hold<T>(memory: readonly (Uint8Array | undefined)[], action: () => T): T;
	/** A copy of C memory. */
	read(pointer: bigint, length: number): Uint8Array;
	/** A copy of a C string. */
	readString(pointer: bigint): string;
	/** A C function pointer for libbpf_set_print, valid until released. */
	callback(callback: PrintCallback): { readonly pointer: bigint; release(): void };
	readonly log: LibbpfLog;
}

/** The result of a call, and libbpf's warnings during it. */
export interface Captured<T> {
	readonly result: T;
	/** Warnings, including verifier logs, without the prefix `libbpf: `. */
	readonly warnings: string;
}

/** Routes libbpf's messages to the log, and to the caller of capture() for one call. */
export interface LibbpfLog {
	/**
	 * Runs `action` and returns the warnings that libbpf prints meanwhile. They reach the log at
	 * debug only.
	 */
	capture<T>(action: () => T): Captured<T>;
	/** Stops listening. libbpf then prints nothing, unless another instance listens. */
	close(): void;
}
