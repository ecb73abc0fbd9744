/**
 * A node for one test: a network namespace with an uplink to a peer namespace, a cgroup, a
 * directory of pins.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { MAGLANE_ABI } from '../../agent/abi/layout.ts';
import { cleanup } from '../../agent/bpf/cleanup.ts';
import type { DataplaneOptions, DataplaneStatus } from '../../agent/bpf/dataplane.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { cgroup2Mount } from '../../agent/bpf/mounts.ts';
import { probe } from '../../agent/bpf/probe.ts';

const root = resolve(import.meta.dirname, '../..');
export const FEATURES = probe(openNative('koffi'), '/sys/fs/bpf');
/** Degradations that every dataplane reports on this kernel. */
export const LACKING = [FEATURES.tcx, FEATURES.setRetval].filter(({ ok }) => !ok).map(({ why }) => why);

export const run = (command: string, ...args: string[]): string =>
	execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** Small maps, because the kernel creates them fast. */
export const SIZES = { frontends: 1024, backends: 1024, connections: 1024, sockets: 1024 };

export class TestAgent {
	readonly process: ChildProcessWithoutNullStreams;
	readonly #lines: AsyncIterator<string>;

	constructor(child: ChildProcessWithoutNullStreams) {
		this.process = child;
		child.stderr.resume();
		this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
	}

	/** Reads the next line: a status, or the error that made the agent fail. */
	async next(): Promise<DataplaneStatus & { error?: string }> {
		const { value, done } = await this.#lines.next();
		if (done) throw new Error('The agent ended without a word');
		return JSON.parse(value) as DataplaneStatus & { error?: string };
	}

	async status(line = ''): Promise<DataplaneStatus> {
		this.process.stdin.write(`${line}\n`);
		return this.next();
	}

	end(signal?: NodeJS.Signals): Promise<void> {
		const gone = new Promise<void>((done) => {
			if (this.process.exitCode !== null || this.process.signalCode !== null) done();
			else this.process.once('close', () => done());
		});
		if (signal) this.process.kill(signal);
		else this.process.stdin.end();
		return gone;
	}
}

export class TestNode {
	readonly node: string;
	readonly peer: string;
	readonly pinPath: string;
	readonly pins: string;
	readonly cgroup: string;
	readonly #agents: TestAgent[] = [];

	/**
	 * Creates `eth0` with 10.9.0.1/24 and fd00:9::1/64 and the default route to `up0`. The latter has
	 * .2 in the peer namespace.
	 */
	constructor(name: string) {
		this.node = `${name}-node`;
		this.peer = `${name}-peer`;
		this.pinPath = `/sys/fs/bpf/${name}`;
		this.pins = join(this.pinPath, `v${MAGLANE_ABI}`);
		this.cgroup = join(cgroup2Mount()!, name);
		this.remove();
		mkdirSync(this.cgroup);
		for (const netns of [this.node, this.peer]) {
			run('ip', 'netns', 'add', netns);
			this.in(netns, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0');
			this.ip(netns, 'link set lo up');
		}
		this.ip(this.node, `link add eth0 type veth peer name up0 netns ${this.peer}`);
		this.#configure(this.node, 'eth0', 1);
		this.#configure(this.peer, 'up0', 2);
		this.ip(this.node, 'route add default via 10.9.0.2');
	}

	ip(netns: string, line: string): string {
		return run('ip', '-n', netns, ...line.split(' '));
	}

	/**
	 * Runs a command in the namespace with the mounts of this process, because `ip netns exec` would
	 * hide bpffs.
	 */
	in(netns: string, ...command: string[]): string {
		return run('nsenter', `--net=/run/netns/${netns}`, ...command);
	}

	/** Adds a veth with its other end in the peer namespace. @returns its ifindex */
	addPod(name: string): number {
		this.ip(this.node, `link add ${name} type veth peer name ${name} netns ${this.peer}`);
		this.ip(this.node, `link set ${name} up`);
		return this.index(name);
	}

	index(device: string): number {
		return JSON.parse(run('ip', '-j', '-n', this.node, 'link', 'show', device))[0].ifindex;
	}

	/** Pins of links. Before Linux 6.6 also filters, named like the pins of TCX links. */
	links(): string[] {
		if (!existsSync(this.pins)) return [];
		const pins = readdirSync(this.pins).filter((name) => name.startsWith('link_'));
		return [...pins, ...(FEATURES.tcx.ok ? [] : this.#filters())].sort();
	}

	#filters(): string[] {
		const [{ tc }] = JSON.parse(this.in(this.node, 'bpftool', '-j', 'net', 'show')) as [
			{ tc: { name: string; ifindex: number }[] },
		];
		return tc.map(({ name, ifindex }) => `link_${/^ml_(\w+)/.exec(name)?.[1]}_${ifindex}`);
	}

	options(more: Partial<DataplaneOptions> = {}): DataplaneOptions {
		return {
			pinPath: this.pinPath,
			cgroup: this.cgroup,
			xdp: 'auto',
			devices: 'auto',
			snatPorts: { min: 61000, max: 61999 },
			ffi: 'koffi',
			mapEntries: SIZES,
			...more,
		};
	}

	/** Starts an agent. `wrapper` precedes it on the command line. */
	start(more: Partial<DataplaneOptions> = {}, wrapper: readonly string[] = []): TestAgent {
		const script = join(root, 'test/bpf/dataplane-child.ts');
		const netns = `--net=/run/netns/${this.node}`;
		const child = spawn('nsenter', [
			netns,
			...wrapper,
			process.execPath,
			script,
			JSON.stringify(this.options(more)),
		]);
		const agent = new TestAgent(child);
		this.#agents.push(agent);
		return agent;
	}

	async open(more: Partial<DataplaneOptions> = {}, wrapper: readonly string[] = []) {
		const agent = this.start(more, wrapper);
		const { error, ...status } = await agent.next();
		if (error !== undefined) throw new Error(error);
		return { agent, status: status as DataplaneStatus };
	}

	async stop(): Promise<void> {
		await Promise.all(this.#agents.splice(0).map((agent) => agent.end('SIGKILL')));
	}

	/** Removes everything, whatever state a failed test left. */
	remove(): void {
		cleanup({ pinPath: this.pinPath, ffi: 'koffi' });
		for (const netns of [this.node, this.peer])
			if (existsSync(`/run/netns/${netns}`)) run('ip', 'netns', 'del', netns);
		if (existsSync(this.cgroup)) rmdirSync(this.cgroup);
	}

	#configure(netns: string, device: string, host: number): void {
		this.ip(netns, `addr add 10.9.0.${host}/24 dev ${device}`);
		this.ip(netns, `-6 addr add fd00:9::${host}/64 dev ${device} nodad`);
		this.ip(netns, `link set ${device} up`);
	}
}
