/** Only one agent uses a directory of pins, and no other user can enter it. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
	chmodSync,
	chownSync,
	existsSync,
	lstatSync,
	mkdirSync,
	mkdtempSync,
	rmSync,
	symlinkSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cleanup } from '../../agent/bpf/cleanup.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { lockPins } from '../../agent/bpf/lock.ts';
import { asOther, OTHER } from './other-user.ts';

const native = openNative('koffi');
const ROOT = `/sys/fs/bpf/mld-lock-${process.pid}`;
const DIRECTORY = join(ROOT, 'v1');
const lock = (directory = DIRECTORY, patienceMs = 0, signal?: AbortSignal) =>
	lockPins(native, directory, signal, patienceMs);

afterEach(() => {
	rmSync(ROOT, { recursive: true, force: true });
});

describe('lockPins()', () => {
	it('makes the directory for root alone', async () => {
		const held = await lock();
		for (const path of [ROOT, DIRECTORY]) expect(lstatSync(path).mode & 0o777).toBe(0o700);
		held.release();
	});

	it('keeps a second agent out and says so, and lets it in when the first ends', async () => {
		const first = await lock();
		await expect(lock()).rejects.toThrow(/another agent.*--pin-path/);
		const second = lock(DIRECTORY, 10_000);
		first.release();
		(await second).release();
	});

	it('lets the next agent in when a process was killed', async () => {
		const program = `import { openNative } from './agent/bpf/ffi/native.ts';
			import { lockPins } from './agent/bpf/lock.ts';
			await lockPins(openNative('koffi'), '${DIRECTORY}');
			console.log('locked');
			setInterval(() => {}, 1000);`;
		const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
			stdio: ['ignore', 'pipe', 'inherit'],
		});
		await once(child.stdout, 'data');
		await expect(lock()).rejects.toThrow(/another agent/);
		child.kill('SIGKILL');
		(await lock(DIRECTORY, 10_000)).release();
	});

	it('knows directories apart', async () => {
		const first = await lock();
		const other = await lock(join(ROOT, 'v2'));
		first.release();
		other.release();
	});

	it('waits no longer than its signal', async () => {
		const first = await lock();
		await expect(lock(DIRECTORY, 10_000, AbortSignal.timeout(60))).rejects.toThrow();
		first.release();
	});

	it('holds what the path leads to, not a directory that a cleanup removed', async () => {
		const first = await lock();
		rmSync(DIRECTORY, { recursive: true });
		const second = await lock();
		await expect(lock()).rejects.toThrow(/another agent/);
		first.release();
		await expect(lock()).rejects.toThrow(/another agent/);
		second.release();
	});
});

describe('another user', () => {
	it('cannot take the lock, nor list the pins', async () => {
		(await lock()).release();
		for (const command of [`flock -n ${DIRECTORY} true`, `ls ${DIRECTORY}`, `mkdir ${DIRECTORY}/x`])
			expect(await asOther(command)).not.toBe(0);
	});

	it('keeps no agent out by an abstract socket, as it could before', async () => {
		const server = createServer().listen({ path: `\0maglane:${DIRECTORY}` });
		await once(server, 'listening');
		(await lock()).release();
		server.close();
	});

	it.each([
		['that it owns', () => chownSync(ROOT, OTHER, OTHER), `belongs to user ${OTHER}`],
		['that it may write into', () => chmodSync(ROOT, 0o777), 'is writable by other users'],
		['that its group may write into', () => chmodSync(ROOT, 0o770), 'is writable by other users'],
	])('gets no agent to use a directory %s, nor to delete what is there', async (_what, open, why) => {
		mkdirSync(DIRECTORY, { recursive: true, mode: 0o700 });
		open();
		await expect(lock()).rejects.toThrow(`Cannot keep pins in ${DIRECTORY}: ${ROOT} ${why}`);
		expect(() => cleanup({ pinPath: ROOT, ffi: 'koffi' })).toThrow(`Cannot clean up ${ROOT}: ${ROOT} ${why}`);
		expect(existsSync(DIRECTORY)).toBe(true);
	});

	describe('with a link', () => {
		let victim: string;
		beforeEach(() => {
			victim = mkdtempSync(join(tmpdir(), 'mld-victim-'));
			execFileSync('touch', [join(victim, 'file')]);
		});
		afterEach(() => rmSync(victim, { recursive: true }));

		it.each([ROOT, DIRECTORY])(
			'at %s gets no agent to use, or to empty, a directory elsewhere',
			async (at) => {
				mkdirSync(join(at, '..'), { recursive: true, mode: 0o700 });
				symlinkSync(victim, at);
				const why = `${at} is a symbolic link`;
				expect(() => cleanup({ pinPath: ROOT, ffi: 'koffi' })).toThrow(why);
				if (at === DIRECTORY) await expect(lock()).rejects.toThrow(why);
				expect(existsSync(join(victim, 'file'))).toBe(true);
			},
		);
	});
});
