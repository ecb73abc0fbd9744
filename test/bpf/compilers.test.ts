/**
 * Compiles with every compiler installed under a versioned name. A verifier may refuse the code of
 * one of them.
 */
import { describe, expect, it } from 'vitest';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { type Features, probe } from '../../agent/bpf/probe.ts';
import { installedCompilers } from '../../scripts/vm/compilers.ts';
import { loadTier } from '../../scripts/vm/load.ts';

const LONG = 120_000;

/** The features of a kernel that predates all of them. */
function without(features: Features): Features {
	const no = { ok: false, why: '' };
	const { fib, setRetval: _, checksumIpv6: __, xdpFrags: ___, ...rest } = features;
	const none = { skipNeighbour: no, source: no, mark: no } satisfies typeof fib;
	return { ...rest, setRetval: no, checksumIpv6: no, xdpFrags: no, fib: none };
}

describe.each(['clang', ...installedCompilers()])('%s', (clang) => {
	const native = openNative('koffi');
	const features = probe(native, '/sys/fs/bpf');

	it.each([
		['all that this kernel has', features],
		['none of what kernels have since 5.10', without(features)],
	])('makes programs that the verifier takes, with %s', { timeout: LONG }, async (_title, with_) => {
		const { tests } = await loadTier(native, with_, clang);
		expect(tests.filter(({ status }) => status !== 'passed').map(({ title }) => title)).toEqual([]);
		expect(tests.length).toBeGreaterThan(0);
	});
});
