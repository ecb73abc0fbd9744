import type { Log } from '../base/log.ts';
import type { ListenAddress, Listener, Sockets } from './address.ts';
import { listen } from './listener.ts';
import type { Resolver } from './resolver.ts';

export interface ServerOptions {
	readonly resolver: Resolver;
	readonly log: Log;
	/** @returns a function that cancels */
	readonly after: (ms: number, run: () => void) => () => void;
	/**
	 * Creates the sockets of an address. Absent: this process's network. @throws the system's error
	 */
	readonly sockets?: (address: ListenAddress) => Sockets;
	/** Called with the current addresses after each change. */
	readonly changed: (addresses: readonly ListenAddress[]) => void;
}

/**
 * Interval of bind attempts. An address may be busy, or not usable yet (IPv6 duplicate address
 * detection).
 */
const RETRY_MS = 1_000;

/** Answers at a set of addresses, which may change. */
export class DnsServer {
	readonly #options: ServerOptions;
	readonly #listeners = new Map<string, { address: ListenAddress; listener: Listener }>();
	/** Addresses whose failure was logged. */
	readonly #told = new Set<string>();
	#wanted = new Map<string, ListenAddress>();
	#working: Promise<void> = Promise.resolve();
	#cancel = (): void => {};

	constructor(options: ServerOptions) {
		this.#options = options;
	}

	/** Addresses that the server answers at. */
	get addresses(): ListenAddress[] {
		return [...this.#listeners.values()].map(({ address, listener }) => ({
			...address,
			port: listener.port,
		}));
	}

	/** Sets the addresses. Failed binds are retried until they succeed. */
	setAddresses(addresses: readonly ListenAddress[]): Promise<void> {
		this.#wanted = new Map(addresses.map((address) => [nameOf(address), address]));
		this.#working = this.#working.then(() => this.#work());
		return this.#working;
	}

	/** Stops the server. Queries that wait for upstream servers get no answer. */
	close(): Promise<void> {
		return this.setAddresses([]);
	}

	async #work(): Promise<void> {
		this.#cancel();
		let closed = 0;
		let opened = 0;
		for (const [name, { listener }] of this.#listeners) {
			if (this.#wanted.has(name)) continue;
			this.#listeners.delete(name);
			closed++;
			await listener.close();
		}
		for (const [name, address] of this.#wanted) {
			if (!this.#listeners.has(name) && (await this.#open(name, address))) opened++;
		}
		if (this.#listeners.size < this.#wanted.size) {
			this.#cancel = this.#options.after(RETRY_MS, () => {
				this.#working = this.#working.then(() => this.#work());
			});
		}
		if (opened + closed > 0) this.#options.changed(this.addresses);
	}

	async #open(name: string, address: ListenAddress): Promise<boolean> {
		const { resolver, log, sockets } = this.#options;
		try {
			const listener = await listen(address, resolver, sockets?.(address));
			this.#listeners.set(name, { address, listener });
			this.#told.delete(name);
			log.info({ address: name }, 'dns.listening');
			return true;
		} catch (error) {
			if (!this.#told.has(name)) {
				const remedy = sockets ? {} : { flag: '--dns' };
				log.warn({ address: name, error: (error as Error).message, ...remedy }, 'dns.not-listening');
			}
			this.#told.add(name);
			return false;
		}
	}
}

function nameOf({ host, port }: ListenAddress): string {
	return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
