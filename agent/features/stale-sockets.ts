import { sockFrontendCodec, sockKeyCodec } from '../abi/layout.ts';
import { PROTOCOLS } from '../abi/protocol.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { BpfMap } from '../bpf/port.ts';
import type { BackendGroup, Destroyed } from '../bpf/sock-destroy.ts';
import { backendKey, backendName } from '../plan/kernel.ts';

/** A backend that has left its Service port. */
export interface GoneBackend {
	/** 16 bytes, IPv4 as ::ffff:a.b.c.d. */
	readonly addr: Uint8Array;
	readonly port: number;
	readonly proto: number;
	/** Id of the Service port. */
	readonly serviceId: number;
}

export interface StaleSocketsOptions {
	/** Destroys sockets of one group of backends without waiting. @throws when the kernel cannot */
	readonly destroy: (group: BackendGroup) => Destroyed;
	/**
	 * Whether an endpoint (`10.0.0.1:80/tcp`) is in use, or in use again.
	 * @param serviceId by this Service port; undefined: by any
	 */
	readonly serves: (name: string, serviceId: number | undefined) => boolean;
	readonly clock: Clock;
	readonly log: Log;
	/** Called when sockets have been destroyed. */
	readonly counted: (proto: 'tcp' | 'udp', sockets: number) => void;
	readonly failed: () => void;
}

/**
 * Time for which a backend must be gone, ms. An endpoint that moves to another slice is absent
 * between two events. Clients of a lost UDP backend wait that long for another one.
 */
const GRACE_MS = { tcp: 1000, udp: 200 } as const;
/**
 * Longest interval between checks. A TCP socket stays while its peer answers. Its first check is
 * after a second; then the interval doubles.
 */
const LONGEST_MS = 10_000;
const TICK_MS = 100;
/** For a group the kernel walks all sockets of a protocol once or twice, some ms on a busy node. */
const GROUPS_A_TICK = 4;

interface Waiting {
	readonly backend: GoneBackend;
	due: number;
	/** From the next check to the one after it, ms. */
	wait: number;
}

/**
 * Destroys sockets whose backend is gone, so that their processes connect again. Socket load
 * balancing connected them to the backend's own address, so neither the maps nor the packet
 * programs would move them. A UDP socket leaves every backend that its Service has lost. A TCP
 * socket is destroyed only if no Service has the endpoint and its peer is silent: a pod whose
 * Service was deleted, or whose labels were changed, may live on with its connections.
 */
export class StaleSockets {
	readonly #options: StaleSocketsOptions;
	readonly #waiting = new Map<string, Waiting>();
	/** Failures that have been logged. */
	readonly #logged = new Set<string>();
	#cancel: (() => void) | undefined;

	constructor(options: StaleSocketsOptions) {
		this.#options = options;
	}

	/** Destroys the sockets of these backends after a delay, unless the backends are back by then. */
	gone(backends: readonly GoneBackend[]): void {
		const now = this.#options.clock.now();
		for (const backend of backends) {
			const grace = GRACE_MS[protocol(backend)];
			this.#waiting.set(nameOf(backend), { backend, due: now + grace, wait: grace });
		}
		this.#arm();
	}

	/** Takes over the unfinished work of an earlier agent. @param sockets the map of that name */
	adopt(sockets: BpfMap): void {
		const found = new Map<string, GoneBackend>();
		try {
			for (const [key, value] of sockets.entries()) {
				const { addr, port, proto } = sockKeyCodec.decode(key);
				// entries under :: belong to unconnected sockets
				if (addr.every((byte) => byte === 0)) continue;
				const { serviceId } = sockFrontendCodec.decode(value);
				found.set(nameOf({ addr, port, proto, serviceId }), { addr, port, proto, serviceId });
			}
		} catch (error) {
			this.#failed(error);
		}
		this.gone([...found.values()].filter((backend) => !this.#serves(backend)));
	}

	close(): void {
		this.#cancel?.();
		this.#cancel = undefined;
		this.#waiting.clear();
	}

	#serves(backend: GoneBackend): boolean {
		const { serviceId } = backend;
		return this.#options.serves(backendName(backend), isTcp(backend) ? undefined : serviceId);
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
			const { more, left } = this.#destroy(group);
			if (more) continue;
			for (const name of names) {
				if (left > 0) this.#later(this.#waiting.get(name)!);
				else this.#waiting.delete(name);
			}
		}
	}

	#later(waiting: Waiting): void {
		waiting.due = this.#options.clock.now() + waiting.wait;
		waiting.wait = Math.min(2 * waiting.wait, LONGEST_MS);
	}

	/** The first groups that are due, with the names of their backends. */
	#due(): [names: string[], group: BackendGroup][] {
		const now = this.#options.clock.now();
		const groups = new Map<string, [string[], BackendGroup & { readonly backends: GoneBackend[] }]>();
		for (const [name, { backend, due }] of this.#waiting) {
			if (this.#serves(backend)) this.#waiting.delete(name);
			else if (due <= now) {
				const { proto, port } = backend;
				const key = `${port}/${proto}`;
				const [names, group] = groups.get(key) ?? [[], { proto, port, backends: [] }];
				if (names.length === 0 && groups.size === GROUPS_A_TICK) continue;
				groups.set(key, [names, group]);
				names.push(name);
				group.backends.push(backend);
			}
		}
		return [...groups.values()];
	}

	#destroy(group: BackendGroup): Omit<Destroyed, 'sockets'> {
		const { destroy, counted, log } = this.#options;
		try {
			const { sockets, ...rest } = destroy(group);
			if (sockets === 0) return rest;
			const name = protocol(group);
			counted(name, sockets);
			log.info({ protocol: name, port: group.port, sockets }, 'sockets.destroyed');
			return rest;
		} catch (error) {
			this.#failed(error);
			return { more: false, left: 0 };
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

function isTcp({ proto }: { readonly proto: number }): boolean {
	return proto === PROTOCOLS.tcp;
}

function protocol(of: { readonly proto: number }): 'tcp' | 'udp' {
	return isTcp(of) ? 'tcp' : 'udp';
}

/** For TCP the Service port does not matter. */
function nameOf(backend: GoneBackend): string {
	return isTcp(backend) ? backendName(backend) : backendKey(backendName(backend), backend.serviceId);
}
