/**
 * The cgroup v2 directories of a cluster, which hold all its processes: one for the control plane
 * and one for each node. The processes that the control plane starts on a node are in
 * subdirectories. The next control plane can thus distinguish them from processes of users.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const CONTROL = 'control';
const AGENT = 'agent';
const PODS = 'pods';
/** Part of the control plane's command line. */
const DAEMON = 'standalone/cluster/daemon.ts';
const EMPTY_TRIES = 100;
const EMPTY_PAUSE_MS = 50;

export class Cgroups {
	readonly root: string;

	/** @param mount the mount point of cgroup v2. */
	constructor(mount: string, prefix: string) {
		this.root = join(mount, prefix);
	}

	node(name: string): string {
		return join(this.root, name);
	}

	/** The cgroup of the node's agent. */
	agent(name: string): string {
		return join(this.node(name), AGENT);
	}

	/** The cgroup of the programs of the node's pods. */
	pods(name: string): string {
		return join(this.node(name), PODS);
	}

	/** Creates the directories and moves this process to the control plane's. */
	enter(nodes: readonly string[]): void {
		const directories = nodes.flatMap((name) => [this.agent(name), this.pods(name)]);
		for (const directory of [join(this.root, CONTROL), ...directories])
			mkdirSync(directory, { recursive: true });
		writeFileSync(join(this.root, CONTROL, 'cgroup.procs'), '0');
	}

	exists(): boolean {
		return existsSync(this.root);
	}

	/** The process id of a running control plane. */
	controlPlane(): number | undefined {
		const file = join(this.root, CONTROL, 'cgroup.procs');
		if (!existsSync(file)) return undefined;
		// Children of a killed control plane may still run in this cgroup
		return readProcesses(file).find((pid) => commandLine(pid).includes(DAEMON));
	}

	/** Ids of the processes in all directories. */
	processes(): number[] {
		return processesIn(this.root);
	}

	/** Kills the agents and pod programs that an earlier control plane left on the nodes. */
	async killLeft(nodes: readonly string[]): Promise<void> {
		for (const name of nodes)
			for (const directory of [this.agent(name), this.pods(name)]) await killAll(directory);
	}

	/**
	 * Kills all processes of the cluster and removes the directories.
	 * @returns the number of killed processes.
	 */
	async destroy(): Promise<number> {
		if (!this.exists()) return 0;
		const processes = this.processes().filter((pid) => pid !== process.pid);
		this.#leave();
		await killAll(this.root);
		for (const directory of directoriesIn(this.root).reverse()) await removeDirectory(directory);
		return processes.length;
	}

	/** If this process is in the cgroup, moves it to the root, so that it does not kill itself. */
	#leave(): void {
		if (!this.processes().includes(process.pid)) return;
		writeFileSync(join(this.root, '..', 'cgroup.procs'), '0');
	}
}

/** All directories; each precedes its subdirectories. */
function directoriesIn(root: string): string[] {
	const found = [root];
	for (const directory of found)
		for (const entry of readdirSync(directory, { withFileTypes: true }))
			if (entry.isDirectory()) found.push(join(directory, entry.name));
	return found;
}

function processesIn(root: string): number[] {
	return directoriesIn(root).flatMap((directory) => readProcesses(join(directory, 'cgroup.procs')));
}

/**
 * Kills all processes in the directory and below.
 * @throws Error naming processes that do not end.
 */
async function killAll(root: string): Promise<void> {
	// One write kills all, also new forks (cgroup.kill, kernel 5.14). Older kernels get repeated
	// signals
	const kill = join(root, 'cgroup.kill');
	if (existsSync(kill)) writeFileSync(kill, '1');
	for (let tries = 0; processesIn(root).length > 0; tries++) {
		if (tries === EMPTY_TRIES)
			throw new Error(`Cannot empty ${root}: processes ${processesIn(root).join(', ')} do not end`);
		if (!existsSync(kill)) for (const pid of processesIn(root)) killProcess(pid);
		await sleep(EMPTY_PAUSE_MS);
	}
}

function commandLine(pid: number): string {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
	} catch {
		return '';
	}
}

function readProcesses(file: string): number[] {
	return readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number);
}

function killProcess(pid: number): void {
	try {
		process.kill(pid, 'SIGKILL');
	} catch {
		// ESRCH: already ended
	}
}

/** Removes a directory. A cgroup stays busy for a moment after its last process has ended. */
async function removeDirectory(directory: string): Promise<void> {
	for (let tries = 0; ; tries++) {
		try {
			rmdirSync(directory);
			return;
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || tries === EMPTY_TRIES) throw error;
			await sleep(EMPTY_PAUSE_MS);
		}
	}
}
