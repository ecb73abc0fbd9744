import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { printable, printableJson, printableLines } from '../../agent/base/printable.ts';
import { openLog } from '../../agent/compose/log.ts';
import { runStatus, type StatusFormat } from '../../standalone/cli-status.ts';
import { pathsOf } from '../../standalone/cluster/paths.ts';
import { runMaglane } from './cli-fixture.ts';

/** Characters that a terminal obeys: C0, DEL, C1, marks of direction, separators. */
const COMMANDS = [
	...['\u0000', '\u0007', '\u0008', '\r', '\u001b', '\u007f', '\u0085', '\u009b', '\u009d', '\u061c'],
	...['\u200e', '\u200f', '\u202a', '\u202e', '\u2066', '\u2069', '\u2028', '\u2029'],
];
const EVIL = COMMANDS.join('x');
const obeyed = new RegExp(`[${COMMANDS.join('')}]`, 'u');

describe('printable()', () => {
	it.each(COMMANDS.map((c) => [c.charCodeAt(0).toString(16), c]))('replaces U+%s', (_code, c) => {
		expect(printable(`a${c}b`)).toBe('a\uFFFDb');
		expect(printableLines(`a${c}b\n\tc`)).toBe('a\uFFFDb\n\tc');
	});

	it('keeps letters of all scripts', () => {
		for (const text of ['web-1', 'größe', 'سرویس', '服务', '👩‍💻', '']) expect(printable(text)).toBe(text);
	});

	it('allows no second line', () => {
		expect(printable('a\nNODE\tb')).toBe('a\uFFFDNODE\uFFFDb');
	});
});

describe('printableJson()', () => {
	it('keeps the values', () => {
		const value = { [EVIL]: [EVIL, 'größe\n'], b: 1 };
		for (const space of [0, 2]) {
			const text = printableJson(JSON.stringify(value, null, space));
			expect(JSON.parse(text)).toEqual(value);
			expect(text).not.toMatch(obeyed);
		}
	});
});

describe('nothing that a terminal obeys is printed', () => {
	const services = [
		{
			metadata: { namespace: 'default', name: `web${EVIL}` },
			spec: { clusterIP: `10.0.0.1${EVIL}`, ports: [{ name: EVIL, port: 80, protocol: `TCP${EVIL}` }] },
		},
	];

	it.each(['table', 'json', 'yaml', 'export'])('by maglane env -o %s', async (format) => {
		const listServices = async () => services;
		const { code, out } = await runMaglane(['env', '-o', format], { listServices });
		expect(code).toBe(0);
		expect(out).not.toMatch(obeyed);
		if (format === 'json')
			expect(JSON.parse(out)).toContainEqual(expect.objectContaining({ value: `10.0.0.1${EVIL}` }));
	});

	it('in an error', async () => {
		const listServices = async (): Promise<never> => {
			throw new Error(`no ${EVIL}`, { cause: new Error(`pod ${EVIL}`) });
		};
		const { err } = await runMaglane(['env'], { listServices });
		expect(err).toMatch(/^maglane: no .*\n {2}because: pod .*\n$/);
		expect(err).not.toMatch(obeyed);
	});

	it.each<StatusFormat>(['table', 'json', 'yaml'])('by maglane standalone status -o %s', async (format) => {
		const directory = mkdtempSync(join(tmpdir(), 'mlk-status-'));
		const node = { name: `node1${EVIL}`, addresses: [EVIL], netns: 'n', pods: 1 };
		const report = {
			pid: 1,
			prefix: 'p',
			server: 's',
			network: true,
			nodes: [node],
			problems: [`Pod ${EVIL}`],
		};
		const server = createServer((_request, response) => response.end(JSON.stringify(report)));
		const printed: string[] = [];
		const log = vi.spyOn(console, 'log').mockImplementation((text) => void printed.push(String(text)));
		const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
			printed.push(String(text));
			return true;
		});
		try {
			await new Promise<void>((done) => server.listen(pathsOf(directory).controlSocket, done));
			await runStatus(directory, format);
		} finally {
			log.mockRestore();
			write.mockRestore();
			server.close();
			rmSync(directory, { recursive: true });
		}
		expect(printed.join('')).toContain('node1');
		// colours of the command itself, where it prints any
		const plain = (line: string) => line.replaceAll('\u001b[33m', '').replaceAll('\u001b[39m', '');
		for (const line of printed) expect(plain(line)).not.toMatch(obeyed);
	});

	it('in the log', () => {
		const lines: string[] = [];
		const log = openLog('trace', { write: (line) => void lines.push(line) });
		log.warn({ object: EVIL, err: new Error(EVIL) }, EVIL);
		const text = lines.join('');
		expect(text).not.toMatch(obeyed);
		expect(JSON.parse(text)).toMatchObject({ object: EVIL, msg: EVIL });
	});
});

describe('maglane env -o export', () => {
	it('quotes values, and leaves out names that a shell does not take', async () => {
		const service = (name: string, clusterIP: string) => ({
			metadata: { namespace: 'default', name },
			spec: { clusterIP, ports: [{ port: 80 }] },
		});
		const listServices = async () => [service('web', "1';touch x;'"), service('a;touch x;', '10.0.0.1')];
		const { out } = await runMaglane(['env', '-o', 'export'], { listServices });
		expect(out).toContain(`export WEB_SERVICE_HOST='1'\\'';touch x;'\\'''\n`);
		expect(out).not.toContain('A;TOUCH');
	});
});
