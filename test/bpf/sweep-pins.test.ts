/**
 * Tests the pins that `maglane standalone down` removes, and those of other programs that it keeps.
 */
import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeDown } from '../../standalone/cluster/down.ts';
import { sweep } from '../../standalone/cluster/sweep.ts';
import { OTHER } from './other-user.ts';

const PREFIX = `mlsw${process.pid}`;
const PINS = `/sys/fs/bpf/${PREFIX}`;

let victim: string;
beforeEach(() => {
	victim = mkdtempSync(join(tmpdir(), 'mlsw-'));
	writeFileSync(join(victim, 'file'), '');
});
afterEach(() => {
	rmSync(PINS, { recursive: true, force: true });
	rmSync(victim, { recursive: true });
});

it('its own directory goes', async () => {
	mkdirSync(join(PINS, 'node1/v1'), { recursive: true, mode: 0o700 });
	expect(await sweep(PREFIX, false)).toMatchObject({ refused: undefined });
	expect(existsSync(PINS)).toBe(false);
});

it.each([
	[
		'a directory of another user',
		`belongs to user ${OTHER}`,
		() => {
			mkdirSync(PINS);
			symlinkSync(victim, join(PINS, 'node1'));
			chownSync(PINS, OTHER, OTHER);
		},
	],
	['a symbolic link', 'is a symbolic link', () => symlinkSync(victim, PINS)],
])('%s stays, and down says so', async (_what, why, prepare) => {
	prepare();
	const swept = await sweep(PREFIX, false);
	expect(describeDown({ ...swept, stopped: false })).toEqual([
		`left the pins: ${PINS} ${why}; remove it by hand`,
	]);
	expect(existsSync(join(victim, 'file'))).toBe(true);
	expect(existsSync(PINS)).toBe(true);
});
