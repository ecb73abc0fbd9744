/**
 * Runs tiers of tests on stock kernels in QEMU, one virtual machine per kernel and compiler, and
 * prints the results: scripts/networks-vm.ts [--kernels 5.10,newest] [--clangs clang-14] [--tiers
 * load,networks] [--topologies geneve,bond] [--accel tcg] [--minutes 120] [--page]. A kernel is one
 * of RELEASES, or name=release. It saves results in .cache/vm/results, those of the networks in
 * .cache/networks; --page writes docs/kernels.md and docs/networks.md. Exits with 1 when a test
 * failed or a machine ended without a result.
 */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { command, type Need, root } from './machine.ts';
import { writeNetworksPage } from './networks/write.ts';
import { accelerator, isAccelerator } from './vm/accelerator.ts';
import { compilers, prepareObjects } from './vm/compilers.ts';
import { keptResults, type MachineResult, printResults, runMachine } from './vm/matrix.ts';
import { kernelsPage } from './vm/page.ts';
import { kernel, RELEASES } from './vm/releases.ts';

const project = resolve(import.meta.dirname, '..');
const cache = join(project, '.cache/vm');

const needs: readonly Need[] = [
	root,
	command('qemu-system-x86_64'),
	command('busybox'),
	command('modprobe'),
	command('xz'),
	() => command('apt-get')() && 'apt-get is not here, by which the kernels come from Debian',
];

const { values } = parseArgs({
	options: {
		kernels: { type: 'string', default: Object.keys(RELEASES).join() },
		clangs: { type: 'string', default: '' },
		tiers: { type: 'string', default: 'load,networks' },
		topologies: { type: 'string', default: '' },
		accel: { type: 'string' },
		minutes: { type: 'string', default: '240' },
		page: { type: 'boolean', default: false },
	},
});
const list = (text: string) => text.split(/[\s,]+/).filter((word) => word !== '');

/** Name and release of each requested kernel. */
function wantedKernels(): [name: string, release: string][] {
	return list(values.kernels).map((word) => {
		const [name = '', release = RELEASES[name]] = word.split('=');
		if (release === undefined) throw new Error(`Of which Debian release is ${name}? Say ${name}=release`);
		return [name, release];
	});
}

async function main(): Promise<number> {
	const missing = needs.map((need) => need()).filter((why) => why !== undefined);
	if (missing.length > 0) {
		console.error(`networks-vm cannot run: ${missing.join('; ')}`);
		return 1;
	}
	const clangs = await compilers(list(values.clangs));
	const wanted = wantedKernels();
	for (const clang of clangs) await prepareObjects(project, clang);
	const results: MachineResult[] = [];
	let accel = values.accel;
	for (const [name, release] of wanted) {
		const found = await kernel(name, release, cache);
		accel ??= await accelerator(found, join(cache, 'trial'));
		if (!isAccelerator(accel)) throw new Error(`--accel is kvm or tcg, not ${accel}`);
		for (const clang of clangs) {
			console.log(`\n${found.version} with ${clang}: ${values.tiers}`);
			const job = { kernel: found, clang, accel, minutes: Number(values.minutes) };
			results.push(await runMachine(project, job, list(values.tiers), list(values.topologies)));
			printResults(results);
		}
	}
	if (values.page) {
		writeFileSync(join(project, 'docs/kernels.md'), kernelsPage(keptResults(project)));
		if (list(values.tiers).includes('networks')) writeNetworksPage();
	}
	return results.every((one) => one.ok) ? 0 : 1;
}

process.exitCode = await main().catch((error: unknown) => {
	console.error(`networks-vm: ${error instanceof Error ? error.message : error}`);
	return 1;
});
