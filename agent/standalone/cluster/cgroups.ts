/**
 * The cgroup v2 directories of a cluster: one of the control plane, one a node; all its processes are in them. Those that
 * the control plane starts on a node are in directories of their own below the node's, so that the next control plane
 * can tell them from what users run there.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const CONTROL = 'control';
const AGENT = 'agent';
const PODS = 'pods';
/** Of the control plane's command line. */
const DAEMON = 'standalone/cluster/daemon.ts';
const EMPTY_TRIES = 100;
const EMPTY_PAUSE_MS = 50;

export class Cgroups {
	readonly root: string;

	/** @param mount of cgroup v2. */
	constructor(mount: string, prefix: string) {
		this.root = join(mount, prefix);
	}

	node(name: string): string {
		return join(this.root, name);
	}

	/** Of the node's agent. */
	agent(name: string): string {
		return join(this.node(name), AGENT);
	}

	/** Of the programs of the node's pods. */
	pods(name: string): string {
		return join(this.node(name), PODS);
	}

	/** Makes the directories and moves this process to the control plane's. */
	enter(nodes: readonly string[]): void {
		const directories = nodes.flatMap((name) => [this.agent(name), this.pods(name)]);
		for (const directory of [join(this.root, CONTROL), ...directories])
			mkdirSync(directory, { recursive: true });
		writeFileSync(join(this.root, CONTROL, 'cgroup.procs'), '0');
	}

	exists(): boolean {
		return existsSync(this.root);
	}

	/** Id of the control plane's process, while it lives. */
	controlPlane(): number | undefined {
		const file = join(this.root, CONTROL, 'cgroup.procs');
		if (!existsSync(file)) return undefined;
		// Children of one that was killed may live on there
		return readProcesses(file).find((pid) => commandLine(pid).includes(DAEMON));
	}

	/** Ids of the processes in all directories. */
	processes(): number[] {
		return processesIn(this.root);
	}

	/** Kills what an earlier control plane left running on the nodes: agents and programs of pods. */
	async killLeft(nodes: readonly string[]): Promise<void> {
		for (const name of nodes)
			for (const directory of [this.agent(name), this.pods(name)]) await killAll(directory);
	}

	/** Kills every process in them and removes the directories. @returns how many processes were killed. */
	async destroy(): Promise<number> {
		if (!this.exists()) return 0;
		const processes = this.processes().filter((pid) => pid !== process.pid);
		this.#leave();
		await killAll(this.root);
		for (const directory of directoriesIn(this.root).reverse()) await removeDirectory(directory);
		return processes.length;
	}

	/** When this very process is inside: out to the root, or it would kill itself. */
	#leave(): void {
		if (!this.processes().includes(process.pid)) return;
		writeFileSync(join(this.root, '..', 'cgroup.procs'), '0');
	}
}

/** The root first, then what is in it. */
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

/** Kills every process in the directory and those below it. @throws Error naming those that do not end. */
async function killAll(root: string): Promise<void> {
	// One write that no fork can outrun (cgroup.kill, kernel 5.14); older kernels get signals, repeated
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
		// ESRCH: it ended
	}
}

/** A cgroup stays busy for a moment after its last process has gone. */
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
