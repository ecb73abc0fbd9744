import { execFile } from 'node:child_process';
import {
	chmodSync,
	chownSync,
	lchownSync,
	mkdirSync,
	mkdtempSync,
	realpathSync,
	rmSync,
	writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { environment } from '../../agent/config.ts';

const run = promisify(execFile);
const MAIN = resolve(import.meta.dirname, '../../agent/main.ts');
const NOBODY = 65_534;
/** Only root can change the owner of a file. */
const asRoot = { skip: process.getuid?.() !== 0 };

/** A user with a client-go credential plugin. The plugin runs as the user who reads the file. */
const kubeconfig = (program: string): string =>
	JSON.stringify({
		'current-context': 'c',
		contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
		clusters: [{ name: 'k', cluster: { server: 'http://127.0.0.1:9' } }],
		users: [
			{
				name: 'u',
				user: {
					exec: {
						apiVersion: 'client.authentication.k8s.io/v1',
						command: 'sh',
						args: ['-c', program],
						interactiveMode: 'Never',
					},
				},
			},
		],
	});

describe('the kubeconfig of the current directory', () => {
	let folder: string;
	let home: string;
	beforeEach(() => {
		folder = realpathSync(mkdtempSync(join(tmpdir(), 'mld-here-')));
		home = join(folder, 'home');
		mkdirSync(join(folder, 'here/.maglane'), { recursive: true, mode: 0o755 });
		writeFileSync(path('.maglane/kubeconfig'), kubeconfig(`echo here >> ${folder}/ran`));
		writeFileSync(join(folder, 'named'), kubeconfig(`echo named >> ${folder}/ran`));
		writeFileSync(join(folder, 'ran'), '');
	});
	afterEach(() => rmSync(folder, { recursive: true }));

	const path = (name = ''): string => join(folder, 'here', name);

	/** Runs `maglane env` in the directory. @returns its output, and the programs that ran */
	async function env(more: Record<string, string> = {}): Promise<{ said: string; ran: string }> {
		const { KUBECONFIG: _named, SUDO_UID: _sudo, ...rest } = environment();
		const options = { cwd: path(), env: { ...rest, HOME: home, ...more } };
		const said = await run(process.execPath, [MAIN, 'env'], options).then(
			({ stdout }) => stdout,
			({ stderr }: { stderr: string }) => stderr,
		);
		const { stdout } = await run('cat', [join(folder, 'ran')]);
		return { said, ran: stdout.trim() };
	}

	it('is taken where it is our own', async () => {
		expect((await env()).ran).toBe('here');
	});

	it('gives way to what is named', async () => {
		expect((await env({ KUBECONFIG: join(folder, 'named') })).ran).toBe('named');
	});

	it.each(['.maglane/kubeconfig', '.maglane'])('is refused when others can write %s', async (name) => {
		chmodSync(path(name), 0o777);
		const { said, ran } = await env();
		expect(ran).toBe('');
		expect(said).toContain(
			`Cannot use ${path('.maglane/kubeconfig')}: ${path(name)} is writable by other users`,
		);
	});

	it.each(['.maglane/kubeconfig', '.maglane', ''])(
		'is refused when another user owns "%s"',
		asRoot,
		async (name) => {
			chownSync(path(name), NOBODY, NOBODY);
			const { said, ran } = await env();
			expect(ran).toBe('');
			expect(said).toContain(`belongs to user ${NOBODY}; name it with --kubeconfig`);
		},
	);

	it('is taken from the directory of who called sudo', asRoot, async () => {
		lchownSync(path(), NOBODY, NOBODY);
		expect((await env({ SUDO_UID: String(NOBODY) })).ran).toBe('here');
	});
});
