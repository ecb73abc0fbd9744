/** Announces addresses from the nodes of this machine. */
import type { Logger } from 'pino';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { answeredBy, answerFor, stopAnsweringFor, wireOf } from '../net/announcing.ts';
import { announcement, parseMac } from './frames.ts';
import type { Announcer } from './placement.ts';

export interface KernelAnnouncerOptions {
	readonly switcher: NetnsSwitcher;
	readonly nodes: readonly string[];
	readonly netnsOf: (node: string) => string;
	readonly log: Logger;
	readonly signal: AbortSignal;
}

/** Delays of an announcement: at once, then repeats in case a frame is lost. */
const REPEAT_MS = [0, 1000, 2000];

export class KernelAnnouncer implements Announcer {
	readonly #options: KernelAnnouncerOptions;
	/** Address -> node, as in the kernel; undefined until the first read. */
	#placed: Map<string, string> | undefined;

	constructor(options: KernelAnnouncerOptions) {
		this.#options = options;
	}

	/**
	 * Withdraws addresses from old nodes first, so that two nodes never answer for the same address.
	 */
	async apply(
		placement: ReadonlyMap<string, string>,
		told: (address: string, node: string) => void,
	): Promise<void> {
		const placed = await this.#read();
		for (const [address, node] of [...placed]) {
			if (placement.get(address) === node) continue;
			await stopAnsweringFor(this.#options.netnsOf(node), address);
			placed.delete(address);
		}
		const failures: unknown[] = [];
		for (const [address, node] of placement) {
			if (placed.has(address)) continue;
			try {
				await this.#place(address, node);
				told(address, node);
			} catch (error) {
				failures.push(error);
			}
		}
		if (failures.length > 0) throw failures[0];
	}

	async #place(address: string, node: string): Promise<void> {
		const netns = this.#options.netnsOf(node);
		await answerFor(netns, address);
		this.#placed!.set(address, node);
		this.#options.log.info({ event: 'address_announced', address, node });
		const { ifindex, mac } = await wireOf(netns);
		const frame = announcement(address, parseMac(mac));
		for (const delay of REPEAT_MS) this.#tellLater(address, node, delay, { ifindex, frame });
	}

	/**
	 * Reads the addresses that an earlier control plane left. If several nodes answer for one, only
	 * the first keeps it.
	 */
	async #read(): Promise<Map<string, string>> {
		if (this.#placed) return this.#placed;
		const { nodes, netnsOf } = this.#options;
		const placed = new Map<string, string>();
		for (const node of nodes)
			for (const address of await answeredBy(netnsOf(node))) {
				if (placed.has(address)) await stopAnsweringFor(netnsOf(node), address);
				else placed.set(address, node);
			}
		this.#placed = placed;
		return placed;
	}

	#tellLater(
		address: string,
		node: string,
		delay: number,
		{ ifindex, frame }: { ifindex: number; frame: Uint8Array },
	): void {
		const { switcher, netnsOf, signal, log } = this.#options;
		setTimeout(() => {
			if (signal.aborted || this.#placed?.get(address) !== node) return;
			try {
				switcher.sendFrames(netnsOf(node), ifindex, [frame]);
			} catch (err) {
				log.warn({ event: 'announcement_failed', address, node, err });
			}
		}, delay).unref();
	}
}
