/** Runs the shipped agent on each node. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { bpfObjects } from '../../../agent/bpf/compile.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';
import { NODES, type NodePlace } from '../../netns/dataplane/topology.ts';
import type { FakeApiServer } from '../../unit/kube-fake-server.ts';
import type { Lab } from './lab.ts';
import { apiServer } from './objects.ts';
import type { Mode } from './spec.ts';

const API_PORT = 6443;
const START_MS = 60_000 * Number(process.env['MAGLANE_TEST_PATIENCE'] ?? 1);
const PROJECT = resolve(import.meta.dirname, '../../..');
const BIN = join(PROJECT, 'bin/maglane');

class Agent {
	readonly cgroup: string;
	readonly #pins: string;
	readonly #netns: string;
	readonly #name: string;
	readonly #api: FakeApiServer;
	#child: ChildProcess | undefined;
	#log = '';

	constructor(lab: Lab, place: NodePlace) {
		this.#name = place.name;
		this.#netns = lab.net.path(place.name);
		this.#pins = `/sys/fs/bpf/${lab.net.prefix}/${place.name}`;
		this.cgroup = lab.cgroup(place.name);
		this.#api = apiServer(place);
	}

	/** Starts its API server on the node's loopback. */
	async listen(switcher: NetnsSwitcher, namespace: string): Promise<void> {
		await this.#api.listen(switcher.listenTcp(namespace, API_PORT, { family: 4, address: '127.0.0.1' }));
	}

	/** Resolves when the agent serves everything. @throws Error with the log */
	async start(args: readonly string[]): Promise<void> {
		const script = 'echo 0 >"$1/cgroup.procs" && shift && exec nsenter "$@"';
		const own = [`--node-name=${this.#name}`, `--pin-path=${this.#pins}`, `--cgroup=${this.cgroup}`];
		const api = `--api-server=http://127.0.0.1:${API_PORT}`;
		const argv = [`--net=${this.#netns}`, '--', BIN, 'agent', ...own, api, ...args];
		const child = spawn('sh', ['-c', script, 'sh', this.cgroup, ...argv], {
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		this.#child = child;
		this.#log = '';
		await new Promise<void>((done, fail) => {
			const timer = setTimeout(() => fail(new Error(`No sync of ${this.#name}: ${this.#log}`)), START_MS);
			const read = (data: Buffer) => {
				this.#log += data;
				if (!this.#log.includes('"sync.done"')) return;
				clearTimeout(timer);
				done();
			};
			child.stdout!.on('data', read);
			child.stderr!.on('data', read);
			child.once('exit', (code) =>
				fail(new Error(`The agent of ${this.#name} ended, ${code}: ${this.#log}`)),
			);
		});
	}

	/** Stops the agent and detaches its programs. */
	async stop(): Promise<void> {
		const child = this.#child;
		this.#child = undefined;
		if (child && child.exitCode === null) {
			const gone = new Promise((done) => child.once('close', done));
			child.kill('SIGKILL');
			await gone;
		}
		rmSync(this.#pins, { recursive: true, force: true });
	}

	/** The output of a maglane command about this agent. */
	maglane(...args: readonly string[]): string {
		const argv = [`--net=${this.#netns}`, BIN, ...args, `--pin-path=${this.#pins}`];
		try {
			return execFileSync('nsenter', argv, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
		} catch (error) {
			// the exit status is 3 when a feature is degraded
			return (error as { stdout?: string }).stdout ?? '';
		}
	}

	async close(): Promise<void> {
		await this.stop();
		await this.#api.close();
	}
}

export class Agents {
	readonly #agents = new Map<string, Agent>();
	readonly #args: readonly string[];

	static async create(lab: Lab, args: readonly string[]): Promise<Agents> {
		const agents = new Agents(lab, args);
		// compile before the agents start, else both compile at once and their start times out
		await bpfObjects({ sources: join(PROJECT, 'bpf'), cache: join(PROJECT, '.cache/bpf') });
		using switcher = new NetnsSwitcher();
		for (const [name, agent] of agents.#agents) await agent.listen(switcher, lab.net.name(name));
		return agents;
	}

	private constructor(lab: Lab, args: readonly string[]) {
		this.#args = args;
		for (const place of NODES) this.#agents.set(place.name, new Agent(lab, place));
	}

	/** Replaces the running agents by those of a mode. */
	async use(mode: Mode): Promise<void> {
		const all = [...this.#agents.values()];
		await Promise.all(all.map((agent) => agent.stop()));
		const xdp = `--xdp=${mode === 'XDP' ? 'native' : 'off'}`;
		await Promise.all(all.map((agent) => agent.start([xdp, ...this.#args])));
	}

	cgroup(node: string): string | undefined {
		return this.#agents.get(node)?.cgroup;
	}

	/** Output of `maglane status` on node1. */
	status(): string {
		return this.#agents.get('node1')!.maglane('status');
	}

	/** Packets on node1 by reason. */
	counters(): Record<string, number> {
		const rows = JSON.parse(this.#agents.get('node1')!.maglane('counters', '-o', 'json')) as {
			reason: string;
			packets: number;
		}[];
		return Object.fromEntries(rows.map(({ reason, packets }) => [reason, packets]));
	}

	async close(): Promise<void> {
		await Promise.all([...this.#agents.values()].map((agent) => agent.close()));
	}
}
