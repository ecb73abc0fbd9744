/**
 * Prints the cookie of its network namespace as a BPF program, getsockopt() and an old kernel
 * return it.
 */
import type { FfiName, Native } from '../../agent/bpf/ffi/library.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { netnsCookie, netnsCookieByAny, netnsCookieByProgram } from '../../agent/bpf/netns-cookie.ts';

const SO_NETNS_COOKIE = 71;
const [ffi, cgroup] = process.argv.slice(2) as [FfiName, string];
const native = openNative(ffi);
const { getsockopt } = native.call;
const old: Native = Object.create(native, {
	call: {
		value: Object.create(native.call, {
			getsockopt: {
				value: (...args: Parameters<typeof getsockopt>) =>
					args[2] === SO_NETNS_COOKIE ? -92 : getsockopt(...args),
			},
		}),
	},
});
const told = [
	netnsCookieByProgram(native, cgroup),
	netnsCookie(native),
	netnsCookieByAny(old, ['/nowhere', cgroup]),
	netnsCookieByAny(old, ['/nowhere']),
];
process.stdout.write(JSON.stringify(told.map(String)));
