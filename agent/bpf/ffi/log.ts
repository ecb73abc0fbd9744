import type { Native } from './native.ts';

/** Where libbpf's messages go; pino's logger is one. */
export interface LogSink {
	warn(fields: object, event: string): void;
	debug(fields: object, event: string): void;
}

/** Longest message that is formatted: a verifier log may be 16 MiB. */
const LONGEST = 1 << 24;
/** va_list is 24 bytes on x86-64 and 32 on arm64, plain data in both. */
const VA_LIST = 32;

/** The result of a call, and what libbpf said during it. */
export interface Captured<T> {
	readonly result: T;
	/** Warnings, among them verifier logs; without the prefix `libbpf: `. */
	readonly warnings: string;
}

/** libbpf's messages: to the log, and to whoever captures those of one call. */
export interface LibbpfLog {
	/** Runs `action`; what libbpf says meanwhile is returned, and reaches the log at debug only. */
	capture<T>(action: () => T): Captured<T>;
	/** Stops listening; libbpf says nothing from then on, unless another instance listens. */
	close(): void;
}

/**
 * Takes libbpf's messages over: warnings go to `sink.warn`, all else to `sink.debug`, as event `libbpf`.
 * Without a sink they are only captured.
 */
export function routeLog(native: Omit<Native, 'log'>, sink?: LogSink): LibbpfLog {
	let captured: string[] | undefined;
	const callback = native.callback((level, format, args) => {
		try {
			const message = formatted(native, format, args);
			const text = message.replace(/^libbpf: /, '');
			if (level === 0) captured?.push(text);
			const fields = { message: text.trimEnd() };
			if (level === 0 && !captured) sink?.warn(fields, 'libbpf');
			else sink?.debug(fields, 'libbpf');
		} catch {
			// Nothing may be thrown through C.
		}
		return 0;
	});
	native.call.libbpf_set_print(callback.pointer);
	return {
		capture(action) {
			const outer = captured;
			const mine: string[] = [];
			captured = mine;
			// Another instance in this process may have taken the printer.
			const other = native.call.libbpf_set_print(callback.pointer);
			try {
				return { result: action(), warnings: mine.join('') };
			} finally {
				captured = outer;
				native.call.libbpf_set_print(other);
			}
		},
		close() {
			const current = native.call.libbpf_set_print(null);
			if (current !== callback.pointer) native.call.libbpf_set_print(current);
			callback.release();
		},
	};
}

/**
 * vsnprintf() uses a va_list up: each call gets a copy, the second with the room that the first asked for.
 */
function formatted(native: Omit<Native, 'log'>, format: bigint, args: bigint): string {
	const list = native.read(args, VA_LIST);
	let text = new Uint8Array(1024);
	const needed = native.call.vsnprintf(text, text.length, format, list.slice());
	if (needed < 0) return '';
	if (needed >= text.length) {
		text = new Uint8Array(Math.min(needed + 1, LONGEST));
		native.call.vsnprintf(text, text.length, format, list);
	}
	return new TextDecoder().decode(text.subarray(0, Math.min(needed, text.length - 1)));
}
