/** The pods that this process answers for: opens and closes ports until what is open is what was asked. */
import type { NetnsSwitcher } from '../../bpf/netns.ts';
import { type Listener, openPort } from './listener.ts';
import type { PodSpec, PortFailure, PortSpec } from './messages.ts';

interface Served {
	spec: PodSpec;
	readonly open: Map<string, Listener>;
}

export class ServedPods {
	readonly #pods = new Map<string, Served>();
	readonly #switcher: NetnsSwitcher;

	constructor(switcher: NetnsSwitcher) {
		this.#switcher = switcher;
	}

	/** @returns the ports that could not be opened. */
	async serve(spec: PodSpec): Promise<PortFailure[]> {
		const served = this.#pods.get(spec.id) ?? { spec, open: new Map() };
		served.spec = spec;
		this.#pods.set(spec.id, served);
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
				served.open.set(key, await openPort(this.#switcher, spec.netns, port, () => served.spec));
			} catch (error) {
				failures.push({ ...port, reason: (error as Error).message });
			}
		}
		return failures;
	}

	/** Stops every pod that is not among these. */
	retain(ids: readonly string[]): void {
		for (const id of [...this.#pods.keys()].filter((known) => !ids.includes(known))) this.stop(id);
	}

	stop(id: string): void {
		const served = this.#pods.get(id);
		if (!served) return;
		this.#pods.delete(id);
		for (const listener of served.open.values()) listener.close();
	}
}

function portKey({ protocol, port }: PortSpec): string {
	return `${protocol}/${port}`;
}
