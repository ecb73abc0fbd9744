/** Runs prober.ts in a place of the cluster and forwards its lines as they arrive. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ClusterState } from '../../standalone/cluster/state.ts';
import { findTarget } from '../../standalone/cluster/target.ts';
import { placedCommand } from '../../standalone/node/spawn.ts';
import type { FollowLine, Job, ProbeResult } from './job.ts';

const PROBER = fileURLToPath(new URL('./prober.ts', import.meta.url));

export interface Where {
	/** As in `standalone exec`. */
	readonly target: string;
	readonly state: ClusterState;
	readonly directory: string;
}

/** @throws Error with the output of the prober when it fails */
export async function runProber<J extends Job>(
	{ target, state, directory }: Where,
	job: J,
	onLine: (line: J extends { kind: 'probe' } ? ProbeResult : FollowLine) => void,
	signal: AbortSignal,
): Promise<void> {
	const place = await findTarget(target, state, directory);
	const [program, args] = placedCommand(place, [process.execPath, PROBER, JSON.stringify(job)]);
	const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
	const said: Buffer[] = [];
	child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
	const exited = new Promise<number | string>((resolve, reject) => {
		child.once('error', reject);
		child.once('close', (code, killed) => resolve(code ?? killed ?? 'unknown'));
	});
	createInterface({ input: child.stdout }).on('line', (line) => onLine(JSON.parse(line)));
	const status = await exited;
	if (status !== 0) throw new Error(`The prober in ${target} ended with ${status}: ${Buffer.concat(said)}`);
}
