import { type ListenAddress, type Listener, listen } from './listener.ts';
import type { Resolver } from './resolver.ts';

export interface ServerLog {
	info(fields: object, event: string): void;
	warn(fields: object, event: string): void;
}

export interface ServerOptions {
	readonly resolver: Resolver;
	readonly log: ServerLog;
	/** @returns a function that cancels */
	readonly after: (ms: number, run: () => void) => () => void;
	/** Told where there are answers now, whenever that changes. */
	readonly changed: (addresses: readonly ListenAddress[]) => void;
}

/** An address may be there before it can be bound (IPv6 looks first whether someone else has it), or be taken. */
const RETRY_MS = 1_000;

/** Answers at a set of addresses, which may change. */
export class DnsServer {
	readonly #options: ServerOptions;
	readonly #listeners = new Map<string, { address: ListenAddress; listener: Listener }>();
	/** Failures that are in the log. */
	readonly #told = new Set<string>();
	#wanted = new Map<string, ListenAddress>();
	#working: Promise<void> = Promise.resolve();
	#cancel = (): void => {};

	constructor(options: ServerOptions) {
		this.#options = options;
	}

	/** Where there are answers. */
	get addresses(): ListenAddress[] {
		return [...this.#listeners.values()].map(({ address, listener }) => ({
			...address,
			port: listener.port,
		}));
	}

	/** From now on at these addresses; what cannot be bound is tried again until it can. */
	setAddresses(addresses: readonly ListenAddress[]): Promise<void> {
		this.#wanted = new Map(addresses.map((address) => [nameOf(address), address]));
		this.#working = this.#working.then(() => this.#work());
		return this.#working;
	}

	/** Ends; queries that wait for others get no answer. */
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
		const { resolver, log } = this.#options;
		try {
			const listener = await listen(address, resolver);
			this.#listeners.set(name, { address, listener });
			this.#told.delete(name);
			log.info({ address: name }, 'dns.listening');
			return true;
		} catch (error) {
			if (!this.#told.has(name)) {
				log.warn({ address: name, error: (error as Error).message, flag: '--dns' }, 'dns.not-listening');
			}
			this.#told.add(name);
			return false;
		}
	}
}

function nameOf({ host, port }: ListenAddress): string {
	return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
