import { closeSync, constants, mkdirSync, openSync, rmdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FFIS, natives } from './binding-setup.ts';

const DIRECTORY = `/sys/fs/bpf/mlb-flock-${process.pid}`;
const [LOCK_EX, LOCK_NB, LOCK_UN] = [2, 4, 8];
const [EBADF, EAGAIN] = [9, 11];

const all = natives();
const open = (): number => openSync(DIRECTORY, constants.O_RDONLY | constants.O_DIRECTORY);

describe.each(FFIS)('flock() by %s', (ffi) => {
	beforeAll(() => mkdirSync(DIRECTORY, { mode: 0o700 }));
	afterAll(() => rmdirSync(DIRECTORY));

	it('locks a directory of bpffs for one opening, until that is closed', () => {
		const { call } = all.get(ffi)!;
		const [first, second] = [open(), open()];
		expect(call.flock(first, LOCK_EX | LOCK_NB)).toBe(0);
		expect(call.flock(second, LOCK_EX | LOCK_NB)).toBe(-EAGAIN);
		closeSync(first);
		expect(call.flock(second, LOCK_EX | LOCK_NB)).toBe(0);
		expect(call.flock(second, LOCK_UN)).toBe(0);
		closeSync(second);
	});

	it('says what is wrong with a descriptor', () => {
		expect(all.get(ffi)!.call.flock(-1, LOCK_EX | LOCK_NB)).toBe(-EBADF);
	});
});
