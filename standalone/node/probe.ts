/**
 * Runs a container's startup, liveness and readiness probes with the kubelet's timing and
 * thresholds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Action, type ActionTarget, act } from './probe-action.ts';

/** All times are in seconds. */
export interface Probe extends Action {
	readonly initialDelaySeconds?: number;
	readonly periodSeconds?: number;
	readonly timeoutSeconds?: number;
	readonly failureThreshold?: number;
	readonly successThreshold?: number;
	readonly terminationGracePeriodSeconds?: number;
}

export interface Probes {
	readonly startupProbe?: Probe;
	readonly livenessProbe?: Probe;
	readonly readinessProbe?: Probe;
}

export interface ProbeListener {
	onStarted(): void;
	onReady(ready: boolean): void;
	/** The last value of onReady(); initially the state under an earlier control plane. */
	isReady(): boolean;
	/** Called when the container must be restarted. */
	onDead(probe: Probe, message: string): void;
	/** Called for each failure of a probe. */
	onFailure(message: string): void;
}

const DEFAULT_PERIOD_SECONDS = 10;
/**
 * Maximum period of readiness and startup probes until their first success, so that a started
 * program soon counts as ready.
 */
const EAGER_PERIOD_MS = 250;

/**
 * Probes until the signal aborts. Without a startup probe the container counts as started, without
 * a readiness probe as ready.
 */
export async function watchProbes(
	probes: Probes,
	target: ActionTarget,
	listener: ProbeListener,
	signal: AbortSignal,
): Promise<void> {
	const { startupProbe, livenessProbe, readinessProbe } = probes;
	if (startupProbe && !(await passes(startupProbe, target, listener, signal))) return;
	if (signal.aborted) return;
	listener.onStarted();
	if (!readinessProbe) listener.onReady(true);
	await Promise.all([
		livenessProbe && watchLiveness(livenessProbe, target, listener, signal),
		readinessProbe && watchReadiness(readinessProbe, target, listener, signal),
	]);
}

/** @returns whether the startup probe succeeded within its failure threshold. */
async function passes(
	probe: Probe,
	target: ActionTarget,
	listener: ProbeListener,
	signal: AbortSignal,
): Promise<boolean> {
	const { periodMs, failureThreshold } = timesOf(probe);
	const step = Math.min(periodMs, EAGER_PERIOD_MS);
	const deadline = performance.now() + failureThreshold * periodMs;
	await pause((probe.initialDelaySeconds ?? 0) * 1000, signal);
	while (!signal.aborted) {
		const failure = await attempt('Startup', probe, target, listener);
		if (failure === undefined) return true;
		if (performance.now() >= deadline) {
			if (!signal.aborted) listener.onDead(probe, 'failed startup probe');
			return false;
		}
		await pause(step, signal);
	}
	return false;
}

async function watchLiveness(
	probe: Probe,
	target: ActionTarget,
	listener: ProbeListener,
	signal: AbortSignal,
): Promise<void> {
	const { periodMs, failureThreshold } = timesOf(probe);
	let failures = 0;
	await pause((probe.initialDelaySeconds ?? 0) * 1000, signal);
	while (!signal.aborted) {
		const failure = await attempt('Liveness', probe, target, listener);
		failures = failure === undefined ? 0 : failures + 1;
		if (failures >= failureThreshold && !signal.aborted) {
			listener.onDead(probe, 'failed liveness probe');
			return;
		}
		await pause(periodMs, signal);
	}
}

async function watchReadiness(
	probe: Probe,
	target: ActionTarget,
	listener: ProbeListener,
	signal: AbortSignal,
): Promise<void> {
	const { periodMs, failureThreshold } = timesOf(probe);
	const wanted = { true: probe.successThreshold ?? 1, false: failureThreshold };
	let ready = listener.isReady();
	let against = 0;
	if (!ready) await pause((probe.initialDelaySeconds ?? 0) * 1000, signal);
	while (!signal.aborted) {
		const passed = (await attempt('Readiness', probe, target, listener)) === undefined;
		against = passed === ready ? 0 : against + 1;
		if (against >= wanted[`${passed}`] && !signal.aborted) {
			ready = passed;
			against = 0;
			listener.onReady(ready);
		}
		await pause(ready ? periodMs : Math.min(periodMs, EAGER_PERIOD_MS), signal);
	}
}

async function attempt(
	name: string,
	probe: Probe,
	target: ActionTarget,
	listener: ProbeListener,
): Promise<string | undefined> {
	const failure = await act(probe, target, (probe.timeoutSeconds ?? 1) * 1000);
	if (failure !== undefined) listener.onFailure(`${name} probe failed: ${failure}`);
	return failure;
}

function timesOf(probe: Probe): { periodMs: number; failureThreshold: number } {
	return {
		periodMs: (probe.periodSeconds ?? DEFAULT_PERIOD_SECONDS) * 1000,
		failureThreshold: probe.failureThreshold ?? 3,
	};
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
	await sleep(ms, undefined, { signal, ref: false }).catch(() => {}); // aborted: the caller checks the signal
}
