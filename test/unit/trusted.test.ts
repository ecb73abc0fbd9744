import {
	chmodSync,
	lchownSync,
	mkdirSync,
	mkdtempSync,
	rmSync,
	statSync,
	symlinkSync,
	writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeToOthers, distrusted, makeTrusted } from '../../agent/bpf/trusted.ts';

const NOBODY = 65_534;
/** Only root can change the owner of a file. */
const asRoot = { skip: process.getuid?.() !== 0 };

describe('distrusted()', () => {
	let folder: string;
	beforeEach(() => {
		folder = mkdtempSync(join(tmpdir(), 'mld-trusted-'));
	});
	afterEach(() => rmSync(folder, { recursive: true }));

	const path = (...names: string[]): string => join(folder, ...names);
	const make = (name: string, mode: number): void => {
		mkdirSync(path(name));
		chmodSync(path(name), mode);
	};

	it('takes what is not there yet, in a sticky directory of all users', () => {
		make('all', 0o1777);
		expect(distrusted(path('all/pins/v1'))).toBeUndefined();
		makeTrusted(path('all/pins/v1'), 'test');
		for (const name of ['all/pins', 'all/pins/v1']) expect(statSync(path(name)).mode & 0o777).toBe(0o700);
		expect(distrusted(path('all/pins/v1'))).toBeUndefined();
	});

	it('refuses what lies in a directory that all may write into, where anybody can rename it', () => {
		make('all', 0o777);
		const why = `${path('all')} is writable by other users`;
		expect(distrusted(path('all/pins/v1'))).toBe(why);
		expect(() => makeTrusted(path('all/pins'), 'keep pins')).toThrow(
			`Cannot keep pins: ${why}, so that others could put their own files there; remove it, or make it root's alone`,
		);
	});

	it('goes by links of its own, relative and absolute, and looks where they lead', () => {
		make('real', 0o755);
		make('all', 0o777);
		symlinkSync('real', path('relative'));
		symlinkSync(path('relative'), path('absolute'));
		symlinkSync('absolute/../all', path('astray'));
		expect(distrusted(path('absolute/pins'))).toBeUndefined();
		expect(distrusted(path('astray/pins'))).toBe(`${path('all')} is writable by other users`);
		for (const slash of ['', '/', '//'])
			expect(distrusted(path('relative') + slash)).toMatch(/relative\/* is a symbolic link$/);
	});

	it('takes a relative path from the current directory, with what lies above it', () => {
		make('all', 0o777);
		const from = process.cwd();
		try {
			process.chdir(path('all'));
			expect(distrusted('pins/v1')).toBe(`${path('all')} is writable by other users`);
		} finally {
			process.chdir(from);
		}
	});

	it('ends at links that lead to each other, and at a file', () => {
		symlinkSync('b', path('a'));
		symlinkSync('a', path('b'));
		expect(() => distrusted(path('a/pins'))).toThrow(/ELOOP/);
		writeFileSync(path('file'), '');
		expect(() => makeTrusted(path('file/pins'), 'test')).toThrow(/ENOTDIR/);
	});

	describe('of another user', asRoot, () => {
		it.each(['hers', 'hers/pins/v1'])('refuses a link on the way to %s, wherever it leads now', (name) => {
			make('real', 0o755);
			symlinkSync(path('real'), path('hers'));
			lchownSync(path('hers'), NOBODY, NOBODY);
			expect(distrusted(path(name, 'v1'))).toBe(`${path('hers')} belongs to user ${NOBODY}`);
		});

		it('refuses a link of hers that a link of ours leads to', () => {
			make('real', 0o755);
			symlinkSync('real', path('hers'));
			lchownSync(path('hers'), NOBODY, NOBODY);
			symlinkSync('hers', path('ours'));
			expect(distrusted(path('ours/pins'))).toBe(`${path('hers')} belongs to user ${NOBODY}`);
		});

		it('changes no mode of a directory of hers', () => {
			make('hers', 0o777);
			lchownSync(path('hers'), NOBODY, NOBODY);
			closeToOthers(path('hers'));
			expect(statSync(path('hers')).mode & 0o777).toBe(0o777);
			make('ours', 0o777);
			closeToOthers(path('ours'));
			expect(statSync(path('ours')).mode & 0o777).toBe(0o755);
		});
	});
});
