import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Api, createApi } from '../../../agent/standalone/api/index.ts';
import { writeKubeconfig } from '../../../agent/standalone/cluster/kubeconfig.ts';
import { credentials, ownerAccess } from '../../unit/api-credentials.ts';

export interface Result {
	code: number;
	out: string;
	err: string;
}

/** An API server of its own and the real kubectl that talks to it. */
export interface Kubectl {
	api: Api;
	/** A directory for files, removed at the end. */
	folder: string;
	/** Runs a line of kubectl; words are split at spaces outside single quotes. */
	run(line: string, input?: string, env?: Record<string, string>): Promise<Result>;
	/** The same, and it must succeed without a word on stderr. @returns stdout. */
	ok(line: string, input?: string, env?: Record<string, string>): Promise<string>;
	close(): Promise<void>;
}

/** Whether there is a kubectl; says so when there is none. */
export function hasKubectl(): boolean {
	const present = spawnSync('kubectl', ['version', '--client']).status === 0;
	if (!present) console.log('skipped: kubectl is not installed');
	return present;
}

export async function openKubectl(): Promise<Kubectl> {
	const api = createApi({ credentials });
	const folder = mkdtempSync(join(tmpdir(), 'mla-kubectl-'));
	const { port } = await api.listen({ port: 0 });
	writeKubeconfig(join(folder, 'kubeconfig'), ownerAccess(port));
	const run: Kubectl['run'] = (line, input = '', env = {}) => {
		const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]!);
		const own = { HOME: folder, KUBECONFIG: join(folder, 'kubeconfig') };
		return new Promise((resolve) => {
			const options = { env: { ...process.env, ...own, ...env }, timeout: 20_000 };
			const child = execFile('kubectl', words, options, (error, out, err) =>
				resolve({ code: error ? (typeof error.code === 'number' ? error.code : 1) : 0, out, err }),
			);
			child.stdin?.end(input);
		});
	};
	return {
		api,
		folder,
		run,
		ok: async (line, input, env) => {
			const { code, out, err } = await run(line, input, env);
			expect(`${code} ${err}`, line).toBe('0 ');
			return out;
		},
		close: async () => {
			await api.close();
			rmSync(folder, { recursive: true, force: true });
		},
	};
}
