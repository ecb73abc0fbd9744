import { expect, test } from 'vitest';
import type { Outcome } from '../../scripts/tiers.ts';
import type { MachineResult } from '../../scripts/vm/matrix.ts';
import { kernelsPage } from '../../scripts/vm/page.ts';

const outcome = (passed: number, failed = 0, skipped = 0): Outcome => ({
	passed,
	failed,
	skipped,
	seconds: 1,
	note: '',
	tests: Array.from({ length: failed }, (_, i) => ({ file: 'a.test.ts', title: `t${i}`, status: 'failed' })),
});
const result = (kernel: string, clang: string, more: Partial<MachineResult> = {}): MachineResult => ({
	kernel,
	clang,
	features: { tcx: { ok: false, why: 'no TCX' }, bpffs: { ok: true, why: 'here' } },
	tiers: { load: outcome(6) },
	ok: true,
	note: '',
	...more,
});

test('kernels are in the order of their versions, a row for each compiler', () => {
	const page = kernelsPage([
		result('6.12.1', 'clang-22'),
		result('5.10.0', 'clang-14', { tiers: { load: outcome(6), packet: outcome(5, 0, 2) } }),
		result('6.12.1', 'clang-14'),
	]);
	const rows = page.split('\n').filter((line) => /^\| \d/.test(line));
	expect(rows).toEqual([
		'| 5.10.0 | clang-14 | 6 pass | 5 pass, 2 skipped |',
		'| 6.12.1 | clang-14 | 6 pass | not run |',
		'| 6.12.1 | clang-22 | 6 pass | not run |',
		'| 5.10.0 | no TCX |',
		'| 6.12.1 | no TCX |',
	]);
	expect(page).not.toContain('What fails');
});

test('what failed is named, and a machine that ended early', () => {
	const page = kernelsPage([
		result('6.1.0', 'clang-14', { tiers: { packet: outcome(1, 2) }, ok: false }),
		result('7.3.4', 'clang-14', { tiers: {}, ok: false, note: 'ended without a status' }),
	]);
	expect(page).toContain('| 6.1.0 | clang-14 | 1 pass, **2 fail** |');
	expect(page.split('\n').filter((line) => line.startsWith('- '))).toEqual([
		'- 6.1.0, clang-14: `a.test.ts`: t0',
		'- 6.1.0, clang-14: `a.test.ts`: t1',
		'- 7.3.4, clang-14: ended without a status',
	]);
});
