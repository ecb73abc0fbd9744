import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Api, createApi } from '../../../standalone/api/index.ts';
import { writeKubeconfig } from '../../../standalone/cluster/kubeconfig.ts';
import { credentials, ownerAccess } from '../../unit/api-credentials.ts';

export interface Result {
	code: number;
	out: string;
	err: string;
}

/** An API server in this process, and the real kubectl as its client. */
export interface Kubectl {
	api: Api;
	/** A directory for files. close() removes it. */
	folder: string;
	/** Runs a kubectl command line. It is split at spaces outside single quotes. */
	run(line: string, input?: string, env?: Record<string, string>): Promise<Result>;
	/** Calls run() and requires success and an empty stderr. @returns stdout */
	ok(line: string, input?: string, env?: Record<string, string>): Promise<string>;
	close(): Promise<void>;
}

/** Whether kubectl is installed. Logs if it is not. */
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
