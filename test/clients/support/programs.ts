/** Clients that run as separate programs and print facts and rights as JSON. */
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { buildGo, buildPython } from './builds.ts';
import type { Client } from './facts.ts';

const execute = promisify(execFile);
const script = join(resolve(import.meta.dirname, '..'), 'python/client.py');
const LIMIT_MS = 90_000;

/** @param command returns the program and its first arguments, after building it if necessary */
function program(command: () => readonly string[]): Client {
	const ask = async (args: readonly string[], environment: Record<string, string> = {}) => {
		const [file, ...first] = command();
		const env = { ...process.env, ...environment };
		const { stdout } = await execute(file!, [...first, ...args], { env, timeout: LIMIT_MS });
		return JSON.parse(stdout);
	};
	return {
		facts: (kubeconfig, name) => ask(['facts', kubeconfig, name]),
		rights: (account, environment) => ask(['rights', account], environment),
	};
}

export const python = program(() => [buildPython(), script]);
export const go = program(() => [buildGo()]);
