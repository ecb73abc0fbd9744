/** Takes a cluster away by its prefix alone, whatever state it is in. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { NetnsSwitcher } from '../../bpf/netns.ts';
import { distrusted } from '../../bpf/trusted.ts';
import { Cgroups } from './cgroups.ts';
import { BPFFS, cgroup2Mount, releaseBpffs } from './mounts.ts';

export interface Swept {
	readonly processes: number;
	readonly namespaces: readonly string[];
	readonly pins: number;
	readonly cgroup: string | undefined;
	readonly bpffs: boolean;
	/** Why pins were left where they are. */
	readonly refused?: string | undefined;
}

const NETNS = '/run/netns';

/**
 * Processes first (they hold everything else), then pins (the last reference to programs on cgroups), namespaces
 * (devices go with them), cgroups. @param unmountBpffs when it was mounted for this cluster.
 */
export async function sweep(prefix: string, unmountBpffs: boolean): Promise<Swept> {
	const mount = cgroup2Mount();
	const cgroups = mount === undefined ? undefined : new Cgroups(mount, prefix);
	const hadCgroup = cgroups?.exists() ?? false;
	// Programs leave their cgroups with the pins; a cgroup with programs can be removed too
	const processes = (await cgroups?.destroy()) ?? 0;
	const root = join(BPFFS, prefix);
	const refused = distrusted(root);
	// in a directory of another user a path may lead anywhere by the time it is removed
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

/** Id of a process that runs a cluster of this prefix, or undefined. */
export function ownerOf(prefix: string): number | undefined {
	const mount = cgroup2Mount();
	return mount === undefined ? undefined : new Cgroups(mount, prefix).controlPlane();
}

/** What a prefix has left behind, in words; empty when nothing. */
export function remains(prefix: string): string[] {
	const found: string[] = namespacesOf(prefix).map((name) => `namespace ${name}`);
	const mount = cgroup2Mount();
	if (mount !== undefined && existsSync(join(mount, prefix))) found.push(`cgroup ${join(mount, prefix)}`);
	if (existsSync(join(BPFFS, prefix))) found.push(`pins ${join(BPFFS, prefix)}`);
	return found;
}

/** Takes away namespaces that an earlier control plane made and that are none of `known`. */
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

/** Files of the state directory that describe a running cluster; logs stay for the reader. */
export function removeFiles(files: readonly string[]): void {
	for (const file of files) if (existsSync(dirname(file))) rmSync(file, { force: true, recursive: true });
}
