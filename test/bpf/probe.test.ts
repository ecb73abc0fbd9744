import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FfiName } from '../../agent/bpf/ffi/library.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { cgroup2Mount } from '../../agent/bpf/mounts.ts';
import { netnsCookie, netnsCookieByProgram } from '../../agent/bpf/netns-cookie.ts';
import { measureHz, probe } from '../../agent/bpf/probe.ts';
import { call, exit, loadTiny, ProgramType, set } from '../../agent/bpf/tiny-program.ts';

const [major = 0, minor = 0] = release().split('.').map(Number);
const atLeast = (wantMajor: number, wantMinor: number) =>
	major > wantMajor || (major === wantMajor && minor >= wantMinor);

describe.each<FfiName>(['koffi', 'ffi-napi'])('probe by %s', (ffi) => {
	const native = openNative(ffi);

	it('probe() answers as the versions of the kernel do that first had each', () => {
		const features = probe(native, '/sys/fs/bpf/mld-probe/v1');
		expect(features).toMatchObject({
			capabilities: { ok: true },
			bpffs: { ok: true },
			cgroup2: { ok: true },
			tcx: { ok: atLeast(6, 6) },
			setRetval: { ok: atLeast(5, 18) },
			socketRelease: { ok: atLeast(5, 9) },
			fib: {
				skipNeighbour: { ok: atLeast(6, 3) },
				source: { ok: atLeast(6, 7) },
				mark: { ok: atLeast(6, 10) },
			},
			xdpFrags: { ok: atLeast(5, 18) },
		});
		// some stable kernels before 6.16 have the backport
		if (atLeast(6, 16)) expect(features.checksumIpv6.ok).toBe(true);
		const sysctl = readFileSync('/proc/sys/kernel/unprivileged_bpf_disabled', 'utf8').trim();
		expect(features.unprivilegedOff.ok).toBe(sysctl !== '0');
	});

	it('probe() names the remedy for a path that is not on bpffs', () => {
		expect(probe(native, '/tmp').bpffs).toEqual({ ok: false, why: expect.stringContaining('mount -t bpf') });
	});

	it('measureHz() gives a rate that kernels have, the same each time', async () => {
		const rates = await Promise.all([measureHz(native), measureHz(native)]);
		expect([100, 250, 300, 1000]).toContain(rates[0]);
		expect(rates[1]).toBe(rates[0]);
	});

	it('measureHz() ends with its signal', async () => {
		await expect(measureHz(native, AbortSignal.abort(new Error('stopped')))).rejects.toThrow();
	});

	it('netnsCookie() is that of this namespace, and never 0 since 5.14', () => {
		expect(netnsCookie(native) !== 0n).toBe(atLeast(5, 14));
		expect(netnsCookie(native)).toBe(netnsCookie(native));
	});

	it('netnsCookieByProgram() gives the same to a process below the cgroup, 0 to others', () => {
		const cgroup = mkdtempSync(join(cgroup2Mount()!, 'mld-'));
		try {
			const child = join(import.meta.dirname, 'netns-cookie-child.ts');
			const join_ = 'echo 0 > "$1/cgroup.procs" && exec "$2" "$3" "$4" "$1"';
			const args = ['-c', join_, 'sh', cgroup, process.execPath, child, ffi];
			const told = JSON.parse(execFileSync('/bin/sh', args, { encoding: 'utf8' })) as string[];
			expect(told[0]).not.toBe('0');
			if (atLeast(5, 14)) expect(told[1]).toBe(told[0]);
			expect(told.slice(2), 'a kernel without SO_NETNS_COOKIE').toEqual([told[0], '0']);
			expect(netnsCookieByProgram(native, cgroup)).toBe(0n);
			const attached = execFileSync('bpftool', ['-j', 'cgroup', 'show', cgroup], { encoding: 'utf8' });
			expect(attached).not.toContain('getsockname4');
		} finally {
			rmdirSync(cgroup);
		}
	});

	it('loadTiny() gives -EINVAL for a helper that no kernel has', () => {
		const instructions = [call(100_000), set(0, 0), exit()];
		expect(loadTiny(native, { type: ProgramType.SCHED_CLS, instructions })).toBe(-22);
	});
});
