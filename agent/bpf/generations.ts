/**
 * State that agents of another ABI left. This agent takes over their links, so that each hook has
 * one program at any time, and abandons their maps.
 */
import { existsSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cgroupPins } from './cgroup-links.ts';
import { DEVICE_PIN, removePinnedLink } from './device-links.ts';
import type { Native } from './ffi/library.ts';
import { type Lock, lockPins } from './lock.ts';
import { ACCEPT_LOCAL } from './loopback-memo.ts';
import { RESERVED_PORTS } from './port-memo.ts';

const GENERATION = /^v\d+$/;
const LINK = /^link_/;
/** Pins of maps that record a sysctl's value from before the first agent. */
const MEMOS = [RESERVED_PORTS, ACCEPT_LOCAL];

interface Generation {
	readonly directory: string;
	readonly lock: Lock;
}

export class OtherGenerations {
	readonly #native: Native;
	readonly #own: string;
	readonly #all: Generation[];

	private constructor(native: Native, own: string, all: Generation[]) {
		this.#native = native;
		this.#own = own;
		this.#all = all;
	}

	/**
	 * Finds the directories of other ABIs and locks their agents out.
	 * @throws Error when another agent runs in one, or other users can write to it; the reason of the
	 * signal
	 */
	static async lock(native: Native, own: string, signal?: AbortSignal): Promise<OtherGenerations> {
		const above = join(own, '..');
		const names = readdirSync(above).filter((name) => GENERATION.test(name) && name !== basename(own));
		const others = new OtherGenerations(native, own, []);
		try {
			for (const name of names.sort()) {
				const directory = join(above, name);
				others.#all.push({ directory, lock: await lockPins(native, directory, signal) });
			}
		} catch (error) {
			others.release();
			throw error;
		}
		return others;
	}

	get directories(): string[] {
		return this.#all.map(({ directory }) => directory);
	}

	/** Whether programs of another generation are attached. */
	get attached(): boolean {
		return this.directories.some((directory) => pinsOf(directory).some((name) => LINK.test(name)));
	}

	/** Moves the pins that record changed sysctls: the last generation restores them at cleanup. */
	takeMemos(): void {
		for (const directory of this.directories) for (const name of MEMOS) this.#take(directory, name);
	}

	/**
	 * Moves the link pins to our directory; the next attach replaces their programs in place.
	 * Detaches links that this generation does not know.
	 */
	takeLinks(): void {
		const known = new Set([...cgroupPins(), ...cgroupPins('host_')]);
		for (const directory of this.directories) {
			for (const name of pinsOf(directory).filter((pin) => LINK.test(pin))) {
				if (DEVICE_PIN.test(name) || known.has(name)) this.#take(directory, name);
				if (existsSync(join(directory, name))) removePinnedLink(this.#native, join(directory, name));
			}
		}
	}

	/** Removes their maps and other pins. */
	remove(): void {
		for (const { directory, lock } of this.#all.splice(0)) {
			for (const name of pinsOf(directory)) rmSync(join(directory, name), { force: true });
			rmdirSync(directory);
			lock.release();
		}
	}

	/** Releases the locks, so that their agents can start again. */
	release(): void {
		for (const { lock } of this.#all.splice(0)) lock.release();
	}

	/** Renaming a pin within one bpffs keeps its object. */
	#take(directory: string, name: string): void {
		const path = join(directory, name);
		if (existsSync(path) && !existsSync(join(this.#own, name))) renameSync(path, join(this.#own, name));
	}
}

const pinsOf = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory) : []);
