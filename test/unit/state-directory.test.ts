/**
 * No command trusts a state directory prepared by another user, who would control root's actions
 * through it.
 */
import { execFile, spawn } from 'node:child_process';
import {
	chmodSync,
	chownSync,
	existsSync,
	lstatSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openStateDirectory } from '../../standalone/cluster/private-files.ts';

const MAIN = resolve(import.meta.dirname, '../../agent/main.ts');
const NOBODY = 65_534;

let folder: string;
let state: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'mld-state-'));
	state = join(folder, 'state');
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('a directory of another user', { skip: process.getuid?.() !== 0 }, () => {
	test.each([
		['down', []],
		['status', []],
		['exec', ['node1', '--', 'touch', 'touched']],
		['logs', ['node1']],
		['apply', ['-f', 'manifest.yaml']],
		['up', ['--no-net']],
	])('is refused by %s, which does nothing that it says', async (command, args) => {
		const victim = spawn('sleep', ['60']);
		mkdirSync(state);
		const pidStart = readFileSync(`/proc/${victim.pid}/stat`, 'utf8').split(' ')[21];
		const lie = {
			version: 1,
			prefix: 'mldlie',
			pid: victim.pid,
			pidStart,
			network: false,
			nodes: 1,
			families: ['v4'],
		};
		writeFileSync(join(state, 'state.json'), JSON.stringify({ ...lie, ready: true }));
		writeFileSync(join(folder, 'manifest.yaml'), '');
		chownSync(state, NOBODY, NOBODY);
		const all = [MAIN, 'standalone', command, '--state', state, '--prefix', 'mldlie', ...args];
		const used = ['down', 'up'].includes(command)
			? all
			: all.filter((arg) => !['--prefix', 'mldlie'].includes(arg));
		const ended = await new Promise<{ code: number; said: string }>((done) => {
			execFile(process.execPath, used, { cwd: folder }, (error, _out, said) =>
				done({ code: error ? 1 : 0, said }),
			);
		});
		expect(ended.said).toContain(
			`Cannot use the cluster in ${state}: ${state} belongs to user ${NOBODY}; make it yours alone, or name another with --state`,
		);
		expect(ended.code).toBe(1);
		expect(existsSync(join(folder, 'touched'))).toBe(false);
		expect(victim.exitCode ?? victim.signalCode).toBeNull();
		expect(existsSync(join(state, 'state.json'))).toBe(true);
		victim.kill();
	});
});

describe('openStateDirectory()', () => {
	const OWN = ['state.json', 'objects.db'];
	test('makes it for its owner alone', () => {
		openStateDirectory(state, OWN);
		expect(lstatSync(state).mode & 0o777).toBe(0o700);
	});
	test('closes one that an earlier version left open', () => {
		mkdirSync(state);
		writeFileSync(join(state, 'state.json'), '{}');
		chmodSync(state, 0o755);
		openStateDirectory(state, OWN);
		expect(lstatSync(state).mode & 0o777).toBe(0o700);
	});
	test('refuses one with files of others, which it would close', () => {
		mkdirSync(state);
		writeFileSync(join(state, 'letter.txt'), '');
		chmodSync(state, 0o755);
		expect(() => openStateDirectory(state, OWN)).toThrow(/other users may read it, and it holds other files/);
		expect(lstatSync(state).mode & 0o777).toBe(0o755);
	});
	test('refuses a symbolic link and a file', () => {
		mkdirSync(join(folder, 'elsewhere'));
		symlinkSync(join(folder, 'elsewhere'), state);
		expect(() => openStateDirectory(state, OWN)).toThrow(
			/it is no directory; choose another directory with --state/,
		);
	});
});
