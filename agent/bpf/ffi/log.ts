import type { Log } from '../../base/log.ts';
import type { LibbpfLog, Native } from './library.ts';

/** Longest message that is formatted: a verifier log may have 16 MiB. */
const LONGEST = 1 << 24;
/** va_list has 24 bytes on x86-64 and 32 on arm64, plain data on both. */
const VA_LIST = 32;

/**
 * Replaces libbpf's printer: warnings go to `sink.warn`, all else to `sink.debug`, as event
 * `libbpf`. Without a sink, warnings are only captured.
 */
export function routeLog(native: Omit<Native, 'log'>, sink?: Log): LibbpfLog {
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
			// An exception must not cross C frames.
		}
		return 0;
	});
	native.call.libbpf_set_print(callback.pointer);
	return {
		capture(action) {
			const outer = captured;
			const mine: string[] = [];
			captured = mine;
			// Another instance in this process may have replaced the printer.
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
 * vsnprintf() consumes a va_list. Each call gets a copy, the second with the buffer size that the
 * first requested.
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
