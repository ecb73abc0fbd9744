/**
 * Runs the end-to-end scenarios: against the cluster of KUBECONFIG, else each file against a standalone cluster of its own.
 * Arguments go to vitest: scripts/e2e.ts test/e2e/services.test.ts -t NodePort
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';
import { bpf, cgroup2, command, type Need, root } from './machine.ts';

const top = resolve(import.meta.dirname, '..');
const kubeconfig = process.env['KUBECONFIG'];

/** With a kubeconfig the machine only runs the clients. */
const needs: readonly Need[] = kubeconfig
	? [command('kubectl')]
	: [command('kubectl'), root, bpf, cgroup2, command('ip'), command('nsenter')];

function runVitest(): void {
	const vitest = resolve(top, 'node_modules/vitest/vitest.mjs');
	const args = [vitest, 'run', '--project', 'e2e', ...process.argv.slice(2)];
	const path = `${resolve(top, 'node_modules/.bin')}${delimiter}${process.env['PATH'] ?? ''}`;
	const env = { ...process.env, PATH: path, ...(kubeconfig ? { KUBECONFIG: resolve(kubeconfig) } : {}) };
	const child = spawn(process.execPath, args, { cwd: top, stdio: 'inherit', env });
	child.once('exit', (code) => {
		process.exitCode = code ?? 1;
	});
}

const missing = needs.map((need) => need()).filter((reason) => reason !== undefined);
if (kubeconfig && !existsSync(kubeconfig)) missing.push(`KUBECONFIG ${kubeconfig} is not there`);
if (missing.length > 0) {
	console.error(`Cannot run the end-to-end scenarios: ${missing.join('; ')}`);
	process.exitCode = 1;
} else runVitest();
