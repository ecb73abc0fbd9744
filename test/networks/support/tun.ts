/**
 * Pairs of tun devices (tap: with Ethernet), each end in a namespace. A process carries their
 * packets.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Lab } from './lab.ts';

export interface End {
	readonly ns: string;
	readonly dev: string;
}

/**
 * Creates both devices of each pair. They are up when this resolves, and carry packets until the
 * lab closes.
 */
export async function tunPairs(
	lab: Lab,
	pairs: readonly (readonly [End, End])[],
	mode: 'tun' | 'tap' = 'tun',
): Promise<void> {
	const { net } = lab;
	for (const { ns, dev } of pairs.flat()) net.ip(ns, `tuntap add dev ${dev} mode ${mode}`);
	const ends = pairs.map((pair) => pair.map(({ ns, dev }) => ({ netns: net.name(ns), dev })));
	const wire = fileURLToPath(new URL('./tun-wire.ts', import.meta.url));
	const child = spawn(process.execPath, [wire, mode, JSON.stringify(ends)], {
		stdio: ['ignore', 'pipe', 'inherit'],
	});
	lab.atEnd(() => child.kill('SIGKILL'));
	await ready(child);
	for (const { ns, dev } of pairs.flat()) net.ip(ns, `link set ${dev} up`);
}

function ready(child: ChildProcess): Promise<void> {
	return new Promise((done, fail) => {
		child.once('exit', (code) => fail(new Error(`The wire between tun devices ended with ${code}`)));
		child.stdout!.once('data', () => done());
	});
}
