/** Measures how long traffic takes to follow a change of `replicas`, with continuous requests. */
import { setTimeout as sleep } from 'node:timers/promises';
import pc from 'picocolors';
import type { ApiClient } from '../../standalone/cluster/api-client.ts';
import type { Deployment } from '../../standalone/port.ts';
import { waitForApplication } from './application.ts';
import type { FollowLine, Target } from './job.ts';
import { runProber, type Where } from './run-prober.ts';

const WARM_UP_MS = 400;
const UP_MS = 2500;
const DOWN_MS = 4000;
const READY_TIMEOUT_MS = 20_000;

export interface ScalingResult {
	/** As text; empty when traffic followed and no request failed. */
	readonly problems: readonly string[];
}

/** Scales up by two, then down to one, during external requests. */
export async function showScaling(
	api: ApiClient,
	deployment: Deployment,
	target: Target,
	where: Where,
	signal: AbortSignal,
): Promise<ScalingResult> {
	const { name, namespace = 'default' } = deployment.metadata;
	const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`;
	const before = deployment.spec?.replicas ?? 1;
	const scaleTo = async (replicas: number, durationMs: number) => {
		const lines: FollowLine[] = [];
		const job = { kind: 'follow', target, durationMs, timeoutMs: 1000 } as const;
		let at = 0;
		const change = async () => {
			await sleep(WARM_UP_MS, undefined, { signal });
			at = Date.now();
			await api.patch(path, { spec: { replicas } });
		};
		await Promise.all([runProber(where, job, (line) => void lines.push(line), signal), change()]);
		return { lines, at };
	};
	const problems: string[] = [];
	console.log(`${pc.bold('scale')} Deployment ${name} ${before} -> ${before + 2}`);
	const up = await scaleTo(before + 2, UP_MS);
	problems.push(...tellUp(up, 2));
	await waitForApplication(api, READY_TIMEOUT_MS, signal);
	console.log(`${pc.bold('scale')} Deployment ${name} ${before + 2} -> 1`);
	const down = await scaleTo(1, DOWN_MS);
	problems.push(...tellDown(down));
	return { problems };
}

interface Followed {
	readonly lines: readonly FollowLine[];
	/** Time of the change, ms since the epoch. */
	readonly at: number;
}

function tellUp({ lines, at }: Followed, expected: number): string[] {
	const firsts = new Map<string, number>();
	for (const line of lines)
		if (line.backend && line.at < at && !firsts.has(line.backend)) firsts.set(line.backend, 0);
	for (const line of lines)
		if (line.backend && !firsts.has(line.backend)) firsts.set(line.backend, line.at - at);
	const fresh = [...firsts].filter(([, after]) => after > 0);
	for (const [backend, after] of fresh)
		console.log(`  ${backend} answers first ${after} ms after the change`);
	const problems = failures(lines);
	if (fresh.length < expected) problems.push(`${fresh.length} of ${expected} new pods got traffic`);
	return problems;
}

function tellDown({ lines, at }: Followed): string[] {
	const last = new Map<string, number>();
	for (const line of lines) if (line.backend) last.set(line.backend, line.at);
	const [remaining] = [...last].sort(([, a], [, b]) => b - a);
	const gone = [...last].filter(([backend]) => backend !== remaining?.[0]);
	const followed = Math.max(0, ...gone.map(([, when]) => when - at));
	console.log(`  all requests go to ${remaining?.[0] ?? 'no pod'} from ${followed} ms after the change on`);
	return failures(lines);
}

function failures(lines: readonly FollowLine[]): string[] {
	const failed = lines.filter(({ error }) => error !== undefined);
	console.log(`  ${lines.length - failed.length} of ${lines.length} requests answered meanwhile`);
	return failed.length === 0 ? [] : [`${failed.length} requests failed meanwhile: ${failed[0]?.error}`];
}
