/** Runs load.c in namespaces: long-lived servers, and clients that measure. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { REPOSITORY } from '../packet/objects.ts';

const run = promisify(execFile);

export interface Place {
	/** A path such as /run/netns/x. */
	netns: string;
	/** Directory of cgroup v2. The hooks are attached there and see its sockets. */
	cgroup?: string;
}
export interface Counted {
	count: number;
	seconds: number;
	/** Microseconds. */
	p50: number;
	p99: number;
	bytes: number;
}
/** connect+request+response+close; UDP request+response; bytes of one connection. */
export type Way = 'crr' | 'rr' | 'stream';

/** @returns the path of the compiled program */
export async function compileLoad(directory: string, name = 'load'): Promise<string> {
	const out = join(directory, name);
	await run('clang', [
		'-O2',
		'-Wall',
		'-Wextra',
		'-Werror',
		'-o',
		out,
		join(REPOSITORY, `test/bench/${name}.c`),
	]);
	return out;
}

function command({ netns, cgroup }: Place, args: readonly string[]): [string, string[]] {
	const join = cgroup ? `echo $$ >${cgroup}/cgroup.procs && ` : '';
	return ['sh', ['-c', `${join}exec nsenter --net="$0" "$@"`, netns, ...args]];
}

/** TCP and UDP servers that are closed together. */
export class Servers implements AsyncDisposable {
	readonly #load: string;
	readonly #children: ChildProcess[] = [];

	constructor(load: string) {
		this.#load = load;
	}

	/** Resolves when the server listens. */
	async serve(place: Place, address: string, port: number): Promise<void> {
		const [program, args] = command(place, [this.#load, 'serve', address, String(port)]);
		const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
		this.#children.push(child);
		const lines = createInterface({ input: child.stdout });
		const ended = once(child, 'exit').then(() => {
			throw new Error(`The server of ${address} ended before it listened`);
		});
		await Promise.race([once(lines, 'line'), ended]);
		ended.catch(() => {});
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const child of this.#children) child.stdin!.end();
		await Promise.all(
			this.#children.map((child) => (child.exitCode === null ? once(child, 'exit') : undefined)),
		);
	}
}

export interface Measurement {
	way: Way;
	to: { address: string; port: number };
	seconds: number;
	signal: AbortSignal;
}

/** @throws Error with the stderr of the client when an operation fails */
export async function measure(load: string, place: Place, what: Measurement): Promise<Counted> {
	const { way, to, seconds, signal } = what;
	const [program, args] = command(place, [load, way, to.address, String(to.port), String(seconds)]);
	const { stdout } = await run(program, args, { timeout: 30_000, signal });
	return JSON.parse(stdout) as Counted;
}
