/**
 * Runs the control loop of a node's agent on maps in memory and prints their changes. For machines
 * without BPF or without the rights for it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pc from 'picocolors';
import pino from 'pino';
import { systemClock } from '../../agent/base/clock.ts';
import { fakeServiceMaps } from '../../agent/bpf/fake.ts';
import { loadApiTarget } from '../../agent/kube/kubeconfig.ts';
import { watchApi } from '../../agent/kube/source.ts';
import { openTransport } from '../../agent/kube/transport.ts';
import { Reconciler } from '../../agent/loop/reconcile.ts';
import { dumpKernel } from '../../agent/plan/dump.ts';
import { readKernel } from '../../agent/plan/kernel.ts';

const POLL_MS = 50;
const SETTLED_MS = 1000;

export interface MapImage {
	/**
	 * Prints added (+) and removed (-) lines until the maps stop changing. @returns the number of
	 * lines
	 */
	showChanges(): Promise<number>;
	stop(): Promise<void>;
}

export async function startMapImage(kubeconfig: string, nodeName: string): Promise<MapImage> {
	const stop = new AbortController();
	const log = pino({ level: 'silent' });
	const common = { nodeName, log, clock: systemClock, random: Math.random };
	const maps = fakeServiceMaps();
	const reconciler = new Reconciler({ ...common, maps });
	const transport = openTransport(await loadApiTarget({ kubeconfig }));
	const source = watchApi({
		...common,
		transport,
		endpointsSource: 'auto',
		sinks: (kind) => reconciler.sinks(kind),
		signal: stop.signal,
	});
	const running = reconciler.run(stop.signal);
	let shown: ReadonlySet<string> = new Set();
	const lines = () => {
		const dump = dumpKernel(readKernel(maps), (id) => reconciler.serviceName(id));
		return new Set(dump.trimEnd().split('\n').filter(isTold));
	};
	return {
		async showChanges() {
			let changes = 0;
			let seen = -1;
			for (let quiet = 0; quiet < SETTLED_MS; quiet += POLL_MS) {
				await sleep(POLL_MS);
				const { synced, totals } = reconciler.snapshot();
				if (!synced || totals.writes === seen) continue;
				seen = totals.writes;
				const current = lines();
				const differences = tellDifferences(shown, current);
				if (differences > 0) quiet = 0;
				changes += differences;
				shown = current;
			}
			return changes;
		},
		async stop() {
			stop.abort();
			await Promise.all([running, source.done]);
			transport.close();
		},
	};
}

/**
 * Hides the entries for internal clients: they equal those for external ones unless a policy is
 * Local.
 */
function isTold(line: string): boolean {
	return !line.includes(' internal ') || line.includes('loopback');
}

function tellDifferences(before: ReadonlySet<string>, after: ReadonlySet<string>): number {
	const gone = [...before].filter((line) => !after.has(line));
	const come = [...after].filter((line) => !before.has(line));
	for (const line of gone) console.log(pc.red(`- ${line}`));
	for (const line of come) console.log(pc.green(`+ ${line}`));
	return gone.length + come.length;
}
