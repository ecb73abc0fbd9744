/** The cgroup v2 directories of a cluster: one of the control plane, one a node; all its processes are in them. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const CONTROL = 'control';
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

	/** Makes the directories and moves this process to the control plane's. */
	enter(nodes: readonly string[]): void {
		for (const name of [CONTROL, ...nodes]) mkdirSync(join(this.root, name), { recursive: true });
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
		return this.#directories().flatMap((directory) => readProcesses(join(directory, 'cgroup.procs')));
	}

	/** Kills every process in them and removes the directories. @returns how many processes were killed. */
	async destroy(): Promise<number> {
		if (!this.exists()) return 0;
		const processes = this.processes().filter((pid) => pid !== process.pid);
		this.#leave();
		// One write that no fork can outrun (cgroup.kill, kernel 5.14); older kernels get signals, repeated
		const kill = join(this.root, 'cgroup.kill');
		if (existsSync(kill)) writeFileSync(kill, '1');
		for (let tries = 0; this.processes().length > 0; tries++) {
			if (tries === EMPTY_TRIES)
				throw new Error(`Cannot empty ${this.root}: processes ${this.processes().join(', ')} do not end`);
			if (!existsSync(kill)) for (const pid of this.processes()) killProcess(pid);
			await sleep(EMPTY_PAUSE_MS);
		}
		for (const directory of this.#directories().reverse()) await removeDirectory(directory);
		return processes.length;
	}

	/** When this very process is inside: out to the root, or it would kill itself. */
	#leave(): void {
		if (!this.processes().includes(process.pid)) return;
		writeFileSync(join(this.root, '..', 'cgroup.procs'), '0');
	}

	/** The root first, then what is in it. */
	#directories(): string[] {
		const found = [this.root];
		for (const directory of found)
			for (const entry of readdirSync(directory, { withFileTypes: true }))
				if (entry.isDirectory()) found.push(join(directory, entry.name));
		return found;
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
