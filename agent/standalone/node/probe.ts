/** Readiness probes of containers that run programs of the host: exec, httpGet and tcpSocket. */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetnsSwitcher } from '../../bpf/netns.ts';
import { type Place, resolveProgram, spawnPlaced } from './spawn.ts';
import type { ProbeSpec } from './workload.ts';

const PROBE_TIMEOUT_MS = 2000;
const DEFAULT_PERIOD_SECONDS = 10;
/** Until the first success a probe is repeated at least this often, so that a pod is ready when its program is. */
const EAGER_PERIOD_MS = 250;

export interface ProbeTarget {
	readonly place: Place;
	readonly address: string;
	readonly env: Readonly<Record<string, string>>;
	/** Number of a named port. */
	port(name: string): number | undefined;
}

/** Whether the probe can be carried out here; what cannot counts as passing. */
export function isProbed(probe: ProbeSpec | undefined): probe is ProbeSpec {
	if (probe?.exec) return resolveProgram(probe.exec.command?.[0] ?? '') !== undefined;
	return probe?.httpGet !== undefined || probe?.tcpSocket !== undefined;
}

/** Repeats the probe until the signal, telling each change of the verdict (it starts as not ready). */
export async function watchProbe(
	switcher: NetnsSwitcher,
	probe: ProbeSpec,
	target: ProbeTarget,
	onVerdict: (ready: boolean) => void,
	signal: AbortSignal,
): Promise<void> {
	const period = (probe.periodSeconds ?? DEFAULT_PERIOD_SECONDS) * 1000;
	const wanted = { true: probe.successThreshold ?? 1, false: probe.failureThreshold ?? 3 };
	let ready = false;
	let against = 0;
	await pause((probe.initialDelaySeconds ?? 0) * 1000, signal);
	while (!signal.aborted) {
		const passed = await probeOnce(switcher, probe, target);
		against = passed === ready ? 0 : against + 1;
		if (against >= wanted[`${passed}`] && !signal.aborted) {
			ready = passed;
			against = 0;
			onVerdict(ready);
		}
		await pause(ready ? period : Math.min(period, EAGER_PERIOD_MS), signal);
	}
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
	await sleep(ms, undefined, { signal, ref: false }).catch(() => {}); // aborted: the caller looks at the signal
}

function probeOnce(switcher: NetnsSwitcher, probe: ProbeSpec, target: ProbeTarget): Promise<boolean> {
	if (probe.exec) return probeExec(probe.exec.command ?? [], target);
	if (probe.httpGet) return probeHttp(switcher, probe.httpGet, target);
	return probeTcp(switcher, probe.tcpSocket?.port ?? 0, target);
}

function probeExec(command: readonly string[], target: ProbeTarget): Promise<boolean> {
	return new Promise((resolve) => {
		const child = spawnPlaced(target.place, command, { env: target.env, cwd: '/', stdio: 'ignore' });
		const timer = setTimeout(() => child.kill('SIGKILL'), PROBE_TIMEOUT_MS);
		child.once('error', () => resolve(false));
		child.once('exit', (code) => {
			clearTimeout(timer);
			resolve(code === 0);
		});
	});
}

function portOf(port: number | string, target: ProbeTarget): number {
	return typeof port === 'number' ? port : (target.port(port) ?? 0);
}

function probeHttp(
	switcher: NetnsSwitcher,
	get: ProbeSpec['httpGet'] & {},
	target: ProbeTarget,
): Promise<boolean> {
	return new Promise((resolve) => {
		const createConnection = () =>
			switcher.connectTcp(target.place.netns, target.address, portOf(get.port, target));
		const call = request({
			path: get.path ?? '/',
			headers: { host: get.host ?? target.address, connection: 'close' },
			timeout: PROBE_TIMEOUT_MS,
			createConnection,
		});
		call.once('response', (response) => {
			response.resume();
			const status = response.statusCode ?? 0;
			resolve(status >= 200 && status < 400);
		});
		call.once('timeout', () => call.destroy());
		call.once('error', () => resolve(false));
		call.once('close', () => resolve(false));
		call.end();
	});
}

function probeTcp(switcher: NetnsSwitcher, port: number | string, target: ProbeTarget): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = switcher.connectTcp(target.place.netns, target.address, portOf(port, target));
		const settle = (passed: boolean) => {
			socket.destroy();
			resolve(passed);
		};
		socket.setTimeout(PROBE_TIMEOUT_MS, () => settle(false));
		socket.once('connect', () => settle(true));
		socket.once('error', () => settle(false));
	});
}
