import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { MAGLANE_ABI } from '../../agent/abi/layout.ts';
import { cgroup2Mount } from '../../agent/bpf/mounts.ts';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';

const BIN = resolve(import.meta.dirname, '../../bin/maglane');

export interface Finished {
	readonly code: number;
	readonly out: string;
	readonly err: string;
}

export interface RunningAgent {
	readonly child: ChildProcess;
	/** The log so far. */
	lines(): Record<string, unknown>[];
	readonly ended: Promise<Finished>;
}

/**
 * A node, a pod on it and an outside client as namespaces. Agents run in the namespace of the node.
 */
export class AgentNode {
	readonly pins: string;
	readonly node: string;
	readonly client: string;
	readonly pod: string;
	readonly podAddress = '10.244.1.2';
	readonly nodeAddress = '192.168.10.11';
	readonly switcher = new NetnsSwitcher();
	readonly #prefix: string;
	readonly #names: readonly string[];
	readonly #cgroup: string;
	readonly #children = new Set<ChildProcess>();

	/** @param prefix of all names. Each test file has its own */
	constructor(prefix = 'mlk') {
		this.#prefix = prefix;
		this.pins = `/sys/fs/bpf/${prefix}/node1`;
		this.#cgroup = join(cgroup2Mount()!, `${prefix}/node1`);
		this.node = `${prefix}-node1`;
		this.pod = `${prefix}-pod`;
		this.client = `${prefix}-client`;
		this.#names = [this.node, this.client, this.pod];
		const { node, client, pod } = this;
		this.#remove();
		for (const name of this.#names) this.switcher.create(name);
		ip('link', 'add', 'eth0', 'netns', node, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', client);
		ip('link', 'add', 'pod0', 'netns', node, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pod);
		address(node, 'eth0', '192.168.10.11/24', 'fd00:10::11/64');
		address(node, 'pod0', '10.244.1.1/24', 'fd00:244:1::1/64');
		address(client, 'eth0', '192.168.10.100/24', 'fd00:10::100/64');
		address(pod, 'eth0', '10.244.1.2/24', 'fd00:244:1::2/64');
		for (const name of this.#names) ip('-n', name, 'link', 'set', 'lo', 'up');
		ip('-n', node, 'route', 'add', 'default', 'via', '192.168.10.100');
		ip('-n', pod, 'route', 'add', 'default', 'via', '10.244.1.1');
		ip('-n', pod, 'route', 'add', 'default', 'via', 'fd00:244:1::1');
		inside(node, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
		mkdirSync(this.#cgroup, { recursive: true });
	}

	/** Directory of the pins of this ABI. */
	get pinned(): string {
		return join(this.pins, `v${MAGLANE_ABI}`);
	}

	/** Opens a listening socket on the node's loopback, for an API server in this process. */
	listenOnNode(port: number): number {
		return this.switcher.listenTcp(this.node, port, { family: 4, address: '127.0.0.1' });
	}

	/** Opens a listening socket in the pod. */
	listenOnPod(port: number): number {
		return this.switcher.listenTcp(this.pod, port);
	}

	/**
	 * Sends an HTTP request from a namespace.
	 * @returns the response, the code of the error, or TIMEOUT without a response
	 */
	ask(from: string, address: string, port: number): Promise<string> {
		return new Promise((done) => {
			const socket = this.switcher.connectTcp(from, address, port);
			let text = '';
			socket.setTimeout(300, () => socket.destroy(Object.assign(new Error(), { code: 'TIMEOUT' })));
			socket.on('data', (data) => {
				text += data;
			});
			socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
			socket.once('close', () => done(text.split('\r\n\r\n')[1] ?? text));
			socket.once('connect', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
		});
	}

	/** Starts an agent. `lines` reads its log. */
	startAgent(...args: string[]): RunningAgent {
		return this.startAgentBy([], ...args);
	}

	/** Starts an agent through another program. */
	startAgentBy(by: readonly string[], ...args: string[]): RunningAgent {
		return this.start(
			...by,
			...[BIN, 'agent', '--node-name=node1', `--pin-path=${this.pins}`, `--cgroup=${this.#cgroup}`],
			...['--xdp=native', ...args],
		);
	}

	/** Starts a program as a process of the node. It logs lines of JSON. */
	start(...argv: string[]): RunningAgent {
		const logs: string[] = [];
		const child = this.#spawn(argv);
		let err = '';
		child.stdout!.on('data', (data) => logs.push(String(data)));
		child.stderr!.on('data', (data) => {
			err += data;
		});
		const lines = () =>
			logs
				.join('')
				.split('\n')
				.filter((line) => line.startsWith('{') && line.endsWith('}'))
				.map((line) => JSON.parse(line) as Record<string, unknown>);
		const ended = new Promise<Finished>((done) => {
			child.once('close', (code, signal) =>
				done({ code: code ?? (signal ? 128 : 0), out: logs.join(''), err }),
			);
		});
		return { child, lines, ended };
	}

	/** Runs a maglane command in the namespace of the node. */
	maglane(...args: string[]): Promise<Finished> {
		return this.run(BIN, ...args);
	}

	/** Runs a program as a process of the node, in its namespace and its cgroup. */
	run(...argv: string[]): Promise<Finished> {
		const child = this.#spawn(argv);
		let out = '';
		let err = '';
		child.stdout!.on('data', (data) => {
			out += data;
		});
		child.stderr!.on('data', (data) => {
			err += data;
		});
		return new Promise((done, fail) => {
			child.once('error', fail);
			child.once('close', (code) => done({ code: code ?? 128, out, err }));
		});
	}

	/** Requests a URL from a process of the node. @returns the body, or the error of curl */
	async curl(url: string): Promise<string> {
		const { code, out, err } = await this.run('curl', '-sS', '--max-time', '3', url);
		return code === 0 ? out : `curl ${code}: ${err.trim()}`;
	}

	/**
	 * Pin names of links with a program, and the XDP programs of the devices as the kernel lists
	 * them.
	 */
	attached(): string[] {
		const directory = this.pinned;
		const links = existsSync(directory)
			? readdirSync(directory).filter((name) => name.startsWith('link_'))
			: [];
		const held = links.filter((name) => {
			const text = inside(this.node, 'bpftool', '-j', 'link', 'show', 'pinned', join(directory, name));
			return (JSON.parse(text) as { prog_id?: number }).prog_id !== undefined;
		});
		const xdp = inside(this.node, 'ip', '-j', 'link', 'show').includes('"xdp"') ? ['xdp'] : [];
		return [...held.map((name) => name.replace(/^link_|_\d+$/g, '')), ...xdp].sort();
	}

	/** Ends all processes started here and removes everything. */
	async close(): Promise<void> {
		const ended = [...this.#children].map((child) => new Promise((done) => child.once('close', done)));
		for (const child of this.#children) child.kill('SIGKILL');
		await Promise.all(ended);
		this.#remove();
		this.switcher[Symbol.dispose]();
	}

	/** Removes objects by name, so that those of an earlier run go too. */
	#remove(): void {
		if (existsSync(this.pins) && existsSync(`/run/netns/${this.node}`)) {
			inside(this.node, BIN, 'cleanup', '--quiet', `--pin-path=${this.pins}`);
		}
		for (const name of this.#names) this.switcher.remove(name);
		rmSync(`/sys/fs/bpf/${this.#prefix}`, { recursive: true, force: true });
		for (const directory of [this.#cgroup, dirname(this.#cgroup)])
			if (existsSync(directory)) rmdirSync(directory);
	}

	#spawn(argv: readonly string[]): ChildProcess {
		const join_ = 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"';
		const enter = ['nsenter', `--net=/run/netns/${this.node}`, '--', ...argv];
		const child = spawn('/bin/sh', ['-c', join_, 'sh', this.#cgroup, ...enter], {
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		this.#children.add(child);
		child.once('close', () => this.#children.delete(child));
		return child;
	}
}

function ip(...args: string[]): void {
	execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

function inside(name: string, ...argv: string[]): string {
	return execFileSync('nsenter', [`--net=/run/netns/${name}`, '--', ...argv], { encoding: 'utf8' });
}

function address(name: string, device: string, v4: string, v6: string): void {
	ip('-n', name, 'address', 'add', v4, 'dev', device);
	ip('-n', name, 'address', 'add', v6, 'dev', device, 'nodad');
	ip('-n', name, 'link', 'set', device, 'up');
}
