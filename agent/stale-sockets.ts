import { sockKeyCodec } from './abi/layout.ts';
import type { BpfMap } from './bpf/port.ts';
import type { BackendGroup, Destroyed } from './bpf/sock-destroy.ts';
import { backendName } from './plan/kernel.ts';
import type { ReconcileClock, ReconcileLog } from './reconcile-types.ts';

/** A backend that no Service names any more. */
export interface GoneBackend {
	/** 16 bytes, IPv4 as ::ffff:a.b.c.d. */
	readonly addr: Uint8Array;
	readonly port: number;
	readonly proto: number;
}

export interface StaleSocketsOptions {
	/** Ends sockets of one group of backends, at once. @throws when the kernel cannot */
	readonly destroy: (group: BackendGroup) => Destroyed;
	/** Whether a backend of this name (`10.0.0.1:80/tcp`) is in use, maybe again. */
	readonly serves: (name: string) => boolean;
	readonly clock: ReconcileClock;
	readonly log: ReconcileLog;
	/** Told of what was done. */
	readonly counted: (proto: 'tcp' | 'udp', sockets: number) => void;
	readonly failed: () => void;
}

const IPPROTO_TCP = 6;
/**
 * How long a backend must be gone. Endpoints that move from one slice to another are away between two events; a TCP
 * connection that such a moment ended would be lost for nothing, and UDP is to follow within a second.
 */
const GRACE_MS = { tcp: 1000, udp: 200 } as const;
const TICK_MS = 100;
/** Each is a walk of the kernel over all sockets of a protocol, once or twice: some milliseconds on a busy node. */
const GROUPS_A_TICK = 4;

/**
 * Sockets whose backend went away, so that their processes connect anew. What had been connected by socket load
 * balancing sends to the backend's own address, so neither the maps nor the packet programs would move it.
 */
export class StaleSockets {
	readonly #options: StaleSocketsOptions;
	readonly #waiting = new Map<string, { readonly backend: GoneBackend; readonly due: number }>();
	/** Failures that are in the log. */
	readonly #logged = new Set<string>();
	#cancel: (() => void) | undefined;

	constructor(options: StaleSocketsOptions) {
		this.#options = options;
	}

	/** Their sockets are ended a little later, unless the backends are back by then. */
	gone(backends: readonly GoneBackend[]): void {
		const now = this.#options.clock.now();
		for (const backend of backends) {
			const due = now + GRACE_MS[protocol(backend)];
			this.#waiting.set(backendName(backend), { backend, due });
		}
		this.#arm();
	}

	/** Looks for what an agent before this one left undone. @param sockets the map of that name */
	adopt(sockets: BpfMap): void {
		const found = new Map<string, GoneBackend>();
		try {
			for (const [key] of sockets.entries()) {
				const backend = sockKeyCodec.decode(key);
				found.set(backendName(backend), backend);
			}
		} catch (error) {
			this.#failed(error);
		}
		this.gone([...found].flatMap(([name, backend]) => (this.#options.serves(name) ? [] : [backend])));
	}

	close(): void {
		this.#cancel?.();
		this.#cancel = undefined;
		this.#waiting.clear();
	}

	#arm(): void {
		if (this.#waiting.size === 0) return;
		this.#cancel ??= this.#options.clock.after(TICK_MS, () => {
			this.#cancel = undefined;
			this.#tick();
			this.#arm();
		});
	}

	#tick(): void {
		for (const [names, group] of this.#due()) {
			if (!this.#destroy(group)) for (const name of names) this.#waiting.delete(name);
		}
	}

	/** The first groups whose time has come, with their backends' names. */
	#due(): [names: string[], group: BackendGroup][] {
		const { clock, serves } = this.#options;
		const now = clock.now();
		const groups = new Map<string, [string[], BackendGroup & { readonly addresses: Uint8Array[] }]>();
		for (const [name, { backend, due }] of this.#waiting) {
			if (serves(name)) this.#waiting.delete(name);
			else if (due <= now) {
				const { proto, port, addr } = backend;
				const key = `${port}/${proto}`;
				const [names, group] = groups.get(key) ?? [[], { proto, port, addresses: [] }];
				if (names.length === 0 && groups.size === GROUPS_A_TICK) continue;
				groups.set(key, [names, group]);
				names.push(name);
				group.addresses.push(addr);
			}
		}
		return [...groups.values()];
	}

	/** @returns whether there is more to do */
	#destroy(group: BackendGroup): boolean {
		const { destroy, counted, log } = this.#options;
		try {
			const { sockets, more } = destroy(group);
			if (sockets === 0) return more;
			const name = protocol(group);
			counted(name, sockets);
			log.info({ protocol: name, port: group.port, sockets }, 'sockets.destroyed');
			return more;
		} catch (error) {
			this.#failed(error);
			return false;
		}
	}

	#failed(error: unknown): void {
		const { failed, log } = this.#options;
		failed();
		const message = error instanceof Error ? error.message : String(error);
		if (!this.#logged.has(message)) log.warn({ err: error }, 'sockets.destroy-failed');
		this.#logged.add(message);
	}
}

function protocol({ proto }: { readonly proto: number }): 'tcp' | 'udp' {
	return proto === IPPROTO_TCP ? 'tcp' : 'udp';
}
