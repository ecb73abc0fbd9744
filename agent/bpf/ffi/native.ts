import type { Log } from '../../base/log.ts';
import { ffiNapiDriver } from './ffi-napi.ts';
import { koffiDriver } from './koffi.ts';
import type { Calls, FfiName, Native } from './library.ts';
import { routeLog } from './log.ts';
import { SIGNATURES, SONAMES } from './signatures.ts';
import type { ArgClass, Driver, Pointer, PrintCallback, RawArg, Signature } from './types.ts';

/**
 * Loads libbpf and libc through the named FFI. libbpf's messages go to `sink`.
 * @throws Error with the missing library or functions and the remedy.
 */
export function openNative(name: FfiName, sink?: Log): Native {
	const driver = openDriver(name);
	const failed = { errno: 0 };
	const call = bindAll(driver, failed);
	const held = new Set<object>();
	const pinned = new Set<{ release(): void }>();
	const native = {
		ffi: driver.name,
		libbpfVersion: call.libbpf_version_string() ?? '',
		call,
		errno: () => failed.errno,
		address: (memory: Uint8Array) => driver.address(memory),
		hold<T>(memory: readonly (Uint8Array | undefined)[], action: () => T): T {
			const token = { memory };
			held.add(token);
			try {
				return action();
			} finally {
				held.delete(token);
			}
		},
		read: (pointer: bigint, length: number) => copy(call, pointer, length),
		readString: (pointer: bigint) => textAt(call, pointer),
		callback(callback: PrintCallback) {
			const made = driver.callback(callback);
			pinned.add(made);
			return {
				pointer: made.pointer,
				release() {
					if (pinned.delete(made)) made.release();
				},
			};
		},
	};
	return { ...native, log: routeLog(native, sink) };
}

function openDriver(name: FfiName): Driver {
	try {
		return name === 'koffi' ? koffiDriver() : ffiNapiDriver();
	} catch (cause) {
		const remedy = name === 'koffi' ? 'npm ci' : 'npm ci with a C++ compiler, or choose koffi';
		throw new Error(`Cannot load the FFI ${name}: run ${remedy}`, { cause });
	}
}

function textAt(call: Calls, pointer: bigint): string {
	return new TextDecoder().decode(copy(call, pointer, Number(call.strlen(pointer))));
}

function bindAll(driver: Driver, failed: { errno: number }): Calls {
	const missing: string[] = [];
	const calls: Record<string, unknown> = {};
	const text = (pointer: bigint) => textAt(calls as Calls, pointer);
	for (const [name, signature] of Object.entries<Signature>(SIGNATURES)) {
		const raw = load(driver, name, signature);
		if (raw) calls[name] = bind(driver, failed, name, signature, raw, text);
		else if (!signature.optional) missing.push(name);
	}
	if (missing.length > 0) {
		throw new Error(
			`Cannot use ${SONAMES.libbpf}: it lacks ${missing.join(', ')}; install libbpf 1.1 or later`,
		);
	}
	return calls as Calls;
}

function copy(call: Calls, pointer: bigint, length: number): Uint8Array {
	const out = new Uint8Array(length);
	if (length > 0) call.memcpy(out, pointer, length);
	return out;
}

function load(driver: Driver, name: string, signature: Signature) {
	const soname = SONAMES[signature.library];
	try {
		return driver.symbol(soname, name, signature);
	} catch (cause) {
		throw new Error(`Cannot load ${soname}: install the package libbpf1 (libbpf 1.1 or later)`, { cause });
	}
}

/** Checks the arguments, calls the function and converts the result to its TypeScript type. */
function bind(
	driver: Driver,
	failed: { errno: number },
	name: string,
	signature: Signature,
	raw: (args: RawArg[]) => number | bigint,
	text: (pointer: bigint) => string,
) {
	const { args: classes, result, failure } = signature;
	return (...args: unknown[]): unknown => {
		if (args.length !== classes.length) {
			throw new TypeError(`${name}() takes ${classes.length} arguments, got ${args.length}`);
		}
		for (let i = 0; i < args.length; i++) args[i] = convert(name, i, classes[i]!, args[i]);
		const value = raw(args as RawArg[]);
		switch (result) {
			case 'i32':
				return failure === 'errno' && value === -1 ? -driver.errno() : value;
			case 'i64':
				return failure === 'errno' && Number(value) === -1 ? -driver.errno() : Number(value);
			case 'u32':
				return value;
			case 'u64':
				return BigInt(value);
			case 'bool':
				return Boolean(value);
			case 'ptr':
				if (failure === 'errno' && BigInt(value) === 0n) failed.errno = driver.errno();
				return BigInt(value);
			case 'str':
				return BigInt(value) === 0n ? undefined : text(BigInt(value));
			case 'void':
				return undefined;
		}
	};
}

const RANGES = {
	i32: [-(2 ** 31), 2 ** 31 - 1],
	u32: [0, 2 ** 32 - 1],
	i64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
	u64: [0, Number.MAX_SAFE_INTEGER],
} as const;

/**
 * Rejects stray numbers, which FFIs use as addresses, and numbers out of range, which FFIs
 * truncate.
 */
function convert(name: string, i: number, type: ArgClass, value: unknown): RawArg {
	switch (type) {
		case 'ptr':
			if (value === null || value instanceof Uint8Array || typeof value === 'bigint') return value as Pointer;
			break;
		case 'str':
			if (value === null) return null;
			if (typeof value === 'string' && !value.includes('\0')) return Buffer.from(`${value}\0`);
			break;
		case 'bool':
			if (typeof value === 'boolean') return value ? 1 : 0;
			break;
		default: {
			if (typeof value === 'bigint' && type === 'u64') return BigInt.asUintN(64, value);
			if (typeof value === 'bigint' && type === 'i64') return BigInt.asIntN(64, value);
			const [min, max] = RANGES[type];
			if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max)
				return value as number;
		}
	}
	throw new TypeError(`Argument ${i + 1} of ${name}() must be ${type}, got ${typeof value} ${String(value)}`);
}
