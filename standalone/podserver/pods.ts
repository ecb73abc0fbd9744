/** The pods that this process serves. Opens and closes ports to match each request. */
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { LogFile } from '../node/log-file.ts';
import { type Listener, openPort } from './listener.ts';
import type { PodSpec, PortFailure, PortSpec } from './messages.ts';

interface Served {
	spec: PodSpec;
	readonly open: Map<string, Listener>;
	/** Log files by path. */
	readonly logs: Map<string, LogFile>;
}

export class ServedPods {
	readonly #pods = new Map<string, Served>();
	readonly #switcher: NetnsSwitcher;

	constructor(switcher: NetnsSwitcher) {
		this.#switcher = switcher;
	}

	/** @returns the ports that could not be opened. */
	async serve(spec: PodSpec): Promise<PortFailure[]> {
		const served = this.#pods.get(spec.id) ?? { spec, open: new Map(), logs: new Map() };
		served.spec = spec;
		this.#pods.set(spec.id, served);
		closeOldLogs(served);
		const wanted = new Map(spec.ports.map((port) => [portKey(port), port]));
		for (const [key, listener] of served.open) {
			if (wanted.has(key)) continue;
			listener.close();
			served.open.delete(key);
		}
		const failures: PortFailure[] = [];
		for (const [key, port] of wanted) {
			if (served.open.has(key)) continue;
			try {
				served.open.set(key, await this.#open(served, port));
			} catch (error) {
				failures.push({ ...port, reason: (error as Error).message });
			}
		}
		return failures;
	}

	/** Stops all pods except these. */
	retain(ids: readonly string[]): void {
		for (const id of [...this.#pods.keys()].filter((known) => !ids.includes(known))) this.stop(id);
	}

	stop(id: string): void {
		const served = this.#pods.get(id);
		if (!served) return;
		this.#pods.delete(id);
		for (const listener of served.open.values()) listener.close();
		for (const log of served.logs.values()) log.close();
	}

	async #open(served: Served, port: PortSpec): Promise<Listener> {
		const log = (line: string) => logOf(served, port.container)?.line(line);
		const pod = () => ({ ...served.spec, log });
		const listener = await openPort(this.#switcher, served.spec.netns, port, pod);
		// agnhost's message
		log(`Started ${port.protocol === 'UDP' ? 'UDP' : 'HTTP'} server on port ${port.port}`);
		return listener;
	}
}

function logOf({ spec, logs }: Served, container: string): LogFile | undefined {
	const path = spec.logs[container];
	if (path === undefined) return undefined;
	const log = logs.get(path) ?? new LogFile(path);
	logs.set(path, log);
	return log;
}

function closeOldLogs({ spec, logs }: Served): void {
	const wanted = new Set(Object.values(spec.logs));
	for (const [path, log] of logs) {
		if (wanted.has(path)) continue;
		log.close();
		logs.delete(path);
	}
}

function portKey({ protocol, port }: PortSpec): string {
	return `${protocol}/${port}`;
}
