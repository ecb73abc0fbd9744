/**
 * Finds the cgroups of pods whose sockets TC serves, by kubelet's names, and writes them into a
 * map.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { BpfMap } from './port.ts';

/** Levels below the root that are searched, the same as in bpf/left-out.h. */
const DEPTH = 8;
const ONE = new Uint8Array(Uint32Array.of(1).buffer);
const INDEX = new Uint8Array(4);

export class LeftOutCgroups {
	readonly #cgroups: BpfMap;
	readonly #count: BpfMap;
	readonly #root: string;
	#wanted: ReadonlySet<string> = new Set();
	/** By pod UID, the ids of its cgroups. */
	readonly #found = new Map<string, bigint[]>();

	/** @param root directory of the cgroup v2 hierarchy above the pods */
	constructor(cgroups: BpfMap, count: BpfMap, root: string) {
		this.#cgroups = cgroups;
		this.#count = count;
		this.#root = root;
	}

	/** Excludes exactly these pods, by UID. @throws BpfError */
	set(uids: readonly string[]): void {
		this.#wanted = new Set(uids);
		for (const uid of this.#found.keys()) if (!this.#wanted.has(uid)) this.#found.delete(uid);
		this.look();
		this.#write();
	}

	/** Number of pods without a known cgroup. */
	get missing(): number {
		return this.#wanted.size - this.#found.size;
	}

	/** Looks for missing cgroups. @throws BpfError */
	look(): void {
		if (this.missing === 0) return;
		const missing = [...this.#wanted].filter((uid) => !this.#found.has(uid));
		const found = new Map<string, bigint[]>();
		for (const path of directories(this.#root, DEPTH)) {
			const name = path.slice(path.lastIndexOf('/') + 1);
			const uid = missing.find((each) => isCgroupOf(each, name));
			const id = uid === undefined ? undefined : idOf(path);
			if (uid !== undefined && id !== undefined) found.set(uid, [...(found.get(uid) ?? []), id]);
		}
		for (const [uid, ids] of found) this.#found.set(uid, ids);
		if (found.size > 0) this.#write();
	}

	/** Adds entries before it raises the count, and then deletes stale entries. */
	#write(): void {
		const keys = [...this.#found.values()].flat().map((id) => new Uint8Array(BigUint64Array.of(id).buffer));
		for (const key of keys) this.#cgroups.update(key, ONE);
		this.#count.update(INDEX, new Uint8Array(Uint32Array.of(keys.length).buffer));
		const kept = new Set(keys.map((key) => key.join()));
		for (const [key] of [...this.#cgroups.entries()]) if (!kept.has(key.join())) this.#cgroups.delete(key);
	}
}

/**
 * Whether kubelet uses this name for the cgroup of a pod: `pod<uid>` with cgroupfs,
 * `kubepods-burstable-pod<uid, with _>.slice` with systemd.
 */
export function isCgroupOf(uid: string, name: string): boolean {
	return name === `pod${uid}` || name.endsWith(`-pod${uid.replaceAll('-', '_')}.slice`);
}

/**
 * All directories below the root, each before its subdirectories. Skips those that disappear
 * meanwhile.
 */
function* directories(root: string, depth: number): Generator<string> {
	const below: string[] = [];
	try {
		for (const entry of readdirSync(root, { withFileTypes: true }))
			if (entry.isDirectory()) below.push(join(root, entry.name));
	} catch {
		return;
	}
	yield* below;
	if (depth > 1) for (const directory of below) yield* directories(directory, depth - 1);
}

/** The id of a cgroup is the inode number of its directory. */
function idOf(path: string): bigint | undefined {
	return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
