/**
 * Runs the end-to-end scenarios: against the cluster of KUBECONFIG, else each file against its own
 * standalone cluster. Arguments go to vitest: scripts/e2e.ts test/e2e/services.test.ts -t NodePort
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { bpf, cgroup2, command, type Need, root } from './machine.ts';

const top = resolve(import.meta.dirname, '..');
const kubeconfig = process.env['KUBECONFIG'];

/** With a kubeconfig the machine runs only the clients. */
const needs: readonly Need[] = kubeconfig
	? [command('kubectl')]
	: [
			command('kubectl'),
			command('dig'),
			command('curl'),
			root,
			bpf,
			cgroup2,
			command('ip'),
			command('nsenter'),
		];

function runVitest(): Promise<number> {
	const vitest = resolve(top, 'node_modules/vitest/vitest.mjs');
	const args = [vitest, 'run', '--project', 'e2e', ...process.argv.slice(2)];
	const path = `${resolve(top, 'node_modules/.bin')}${delimiter}${process.env['PATH'] ?? ''}`;
	const env = { ...process.env, PATH: path, ...(kubeconfig ? { KUBECONFIG: resolve(kubeconfig) } : {}) };
	const child = spawn(process.execPath, args, { cwd: top, stdio: 'inherit', env });
	// The terminal interrupts both processes; sweep() removes the clusters that the tests leave
	process.on('SIGINT', () => {});
	return new Promise((done) => child.once('exit', (code) => done(code ?? 1)));
}

/** Removes the clusters of scenarios that were interrupted before they did. */
function sweep(): void {
	const prefixes = readdirSync('/run/netns').flatMap(
		(name) => /^(e2e[a-z0-9]*)-client$/.exec(name)?.[1] ?? [],
	);
	for (const prefix of prefixes) {
		console.log(`Removing cluster ${prefix}, which its scenarios left`);
		// every user can create a directory of that name there
		const own = (name: string) =>
			lstatSync(join(tmpdir(), name), { throwIfNoEntry: false })?.uid === process.geteuid?.();
		const state = readdirSync(tmpdir()).find((name) => name.startsWith(`${prefix}-`) && own(name));
		const directory = join(tmpdir(), state ?? `${prefix}-gone`);
		const args = ['standalone', 'down', '--prefix', prefix, '--state', directory];
		spawnSync(process.execPath, [resolve(top, 'agent/main.ts'), ...args], { stdio: 'inherit' });
		rmSync(directory, { recursive: true, force: true });
	}
}

const missing = needs.map((need) => need()).filter((reason) => reason !== undefined);
if (kubeconfig && !existsSync(kubeconfig)) missing.push(`KUBECONFIG ${kubeconfig} is not there`);
if (missing.length > 0) {
	console.error(`Cannot run the end-to-end scenarios: ${missing.join('; ')}`);
	process.exitCode = 1;
} else {
	process.exitCode = await runVitest();
	if (!kubeconfig && existsSync('/run/netns')) sweep();
}
