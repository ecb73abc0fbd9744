import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LogFile } from '../../standalone/node/log-file.ts';
import { type LogQuery, readLog } from '../../standalone/node/log-read.ts';

let folder: string;
let path: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'mln-log-'));
	path = join(folder, 'c', '0.log');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const all: LogQuery = {
	follow: false,
	timestamps: false,
	tailLines: undefined,
	since: undefined,
	limitBytes: undefined,
};
const { signal } = new AbortController();
const read = async (query: Partial<LogQuery> = {}, more = () => false) => {
	let text = '';
	for await (const part of readLog(path, { ...all, ...query }, more, signal)) text += part;
	return text;
};
const written = (...chunks: string[]) => {
	const log = new LogFile(path);
	for (const chunk of chunks) log.write('stdout', Buffer.from(chunk));
	log.close();
};

test('LogFile keeps lines with time and stream, whatever the chunks', async () => {
	const log = new LogFile(path);
	log.write('stdout', Buffer.from('one\ntw'));
	log.write('stderr', Buffer.from('oops\n'));
	log.write('stdout', Buffer.from('o\nunfinished'));
	log.close();
	const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
	expect(lines.map((line) => line.replace(/^\S+Z /, ''))).toEqual([
		'stdout F one',
		'stderr F oops',
		'stdout F two',
		'stdout F unfinished',
	]);
	expect(await read()).toBe('one\noops\ntwo\nunfinished\n');
});

test('a long line is kept in parts and read as one', async () => {
	const long = 'x'.repeat(40_000);
	written(`${long}\nshort\n`);
	expect(await read()).toBe(`${long}\nshort\n`);
	expect(await read({ tailLines: 2 })).toBe(`${long}\nshort\n`);
});

test('readLog() gives the last lines, the last bytes less, what is not older, with times', async () => {
	written('a\nb\n\nc\n');
	expect(await read({ tailLines: 2 })).toBe('\nc\n');
	expect(await read({ tailLines: 0 })).toBe('');
	expect(await read({ tailLines: 100 })).toBe('a\nb\n\nc\n');
	expect(await read({ limitBytes: 3 })).toBe('a\nb');
	expect(await read({ since: Date.now() + 60_000 })).toBe('');
	expect(await read({ since: Date.now() - 60_000 })).toBe('a\nb\n\nc\n');
	expect(await read({ tailLines: 1, timestamps: true })).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z c\n$/);
});

test('readLog() of a container that has said nothing is empty', async () => {
	expect(await read()).toBe('');
});

test('readLog() follows to the end, also into a file that was begun anew', async () => {
	const log = new LogFile(path);
	let running = true;
	const text = read({ follow: true, tailLines: 1 }, () => running);
	log.line('first');
	const block = `${'y'.repeat(1023)}`;
	// exceeds the size at which the log is rotated
	for (let i = 0; i < 11 * 1024; i++) log.line(block);
	await expect.poll(() => existsSync(path)).toBe(true);
	log.line('after');
	await expect.poll(() => existsSync(`${path}.old`)).toBe(true);
	await expect.poll(() => readFileSync(path, 'utf8')).toContain('after');
	running = false;
	log.close();
	const seen = await text;
	expect(seen.startsWith(`first\n${block}\n`)).toBe(true);
	expect(seen.endsWith(`${block}\nafter\n`)).toBe(true);
	expect(seen.split('\n')).toHaveLength(11 * 1024 + 3);
});
