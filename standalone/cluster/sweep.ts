/** Removes a cluster by its prefix, in any state. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { distrusted } from '../../agent/bpf/trusted.ts';
import { Cgroups } from './cgroups.ts';
import { BPFFS, cgroup2Mount, releaseBpffs } from './mounts.ts';

export interface Swept {
	readonly processes: number;
	readonly namespaces: readonly string[];
	readonly pins: number;
	readonly cgroup: string | undefined;
	readonly bpffs: boolean;
	/** The reason why the sweep did not remove the pins. */
	readonly refused?: string | undefined;
}

const NETNS = '/run/netns';

/**
 * Removes all parts of a cluster in this order: processes (they hold all other parts) with their
 * cgroups, pins (the last references to programs on cgroups), and namespaces (with their devices).
 * @param unmountBpffs whether this cluster mounted bpffs.
 */
export async function sweep(prefix: string, unmountBpffs: boolean): Promise<Swept> {
	const mount = cgroup2Mount();
	const cgroups = mount === undefined ? undefined : new Cgroups(mount, prefix);
	const hadCgroup = cgroups?.exists() ?? false;
	// A cgroup with attached programs can be removed; removing the pins detaches the programs
	const processes = (await cgroups?.destroy()) ?? 0;
	const root = join(BPFFS, prefix);
	const refused = distrusted(root);
	// in another user's directory, a path may point elsewhere by the time of its removal
	const pins = refused === undefined ? removePins(root) : 0;
	const namespaces = removeNamespaces(prefix);
	return {
		processes,
		pins,
		refused,
		namespaces,
		cgroup: hadCgroup ? cgroups?.root : undefined,
		bpffs: unmountBpffs && releaseBpffs(),
	};
}

/** The process id of a running cluster with this prefix; undefined if there is none. */
export function ownerOf(prefix: string): number | undefined {
	const mount = cgroup2Mount();
	return mount === undefined ? undefined : new Cgroups(mount, prefix).controlPlane();
}

/** Descriptions of the remaining parts of a cluster; empty if there are none. */
export function remains(prefix: string): string[] {
	const found: string[] = namespacesOf(prefix).map((name) => `namespace ${name}`);
	const mount = cgroup2Mount();
	if (mount !== undefined && existsSync(join(mount, prefix))) found.push(`cgroup ${join(mount, prefix)}`);
	if (existsSync(join(BPFFS, prefix))) found.push(`pins ${join(BPFFS, prefix)}`);
	return found;
}

/** Removes namespaces of an earlier control plane, except those in `known`. */
export function removeUnknownNamespaces(
	switcher: NetnsSwitcher,
	prefix: string,
	known: ReadonlySet<string>,
): void {
	for (const name of namespacesOf(prefix)) if (!known.has(name)) switcher.remove(name);
}

function removePins(directory: string): number {
	if (!existsSync(directory)) return 0;
	const pins = readdirSync(directory, { recursive: true, withFileTypes: true }).filter(
		(entry) => !entry.isDirectory(),
	);
	rmSync(directory, { recursive: true, force: true });
	return pins.length;
}

function namespacesOf(prefix: string): string[] {
	if (!existsSync(NETNS)) return [];
	return readdirSync(NETNS).filter((name) => name.startsWith(`${prefix}-`));
}

function removeNamespaces(prefix: string): string[] {
	const names = namespacesOf(prefix);
	if (names.length === 0) return names;
	using switcher = new NetnsSwitcher();
	for (const name of names) switcher.remove(name);
	return names;
}

/** Removes files of the state directory that describe a running cluster. Logs are kept. */
export function removeFiles(files: readonly string[]): void {
	for (const file of files) if (existsSync(dirname(file))) rmSync(file, { force: true, recursive: true });
}
