/**
 * Network namespaces, links, addresses, sysctls and pins of a test. All share one prefix, and
 * close() removes them.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export class Net implements Disposable {
	readonly prefix: string;
	readonly #made = new Set<string>();

	/**
	 * The prefix is `base` and our process id, so that runs do not collide. First removes the
	 * namespaces and pins of dead processes.
	 */
	constructor(base: string) {
		this.prefix = `${base}${process.pid}`;
		for (const name of namesIn('/run/netns'))
			if (isDead(base, name.split('-', 1)[0]!)) run('ip', ['netns', 'delete', name]);
		for (const name of namesIn(BPFFS))
			if (isDead(base, name)) rmSync(join(BPFFS, name), { recursive: true, force: true });
	}

	/** Full name of a namespace. */
	name(short: string): string {
		return `${this.prefix}-${short}`;
	}

	/** The file of the namespace. */
	path(short: string): string {
		return `/run/netns/${this.name(short)}`;
	}

	/**
	 * Creates a namespace with loopback up and optional forwarding, without duplicate address
	 * detection.
	 */
	add(short: string, options: { forward?: boolean } = {}): void {
		run('ip', ['netns', 'add', this.name(short)]);
		this.#made.add(short);
		this.sysctl(short, {
			'net/ipv6/conf/default/accept_dad': '0',
			'net/ipv6/conf/all/accept_dad': '0',
			'net/ipv6/conf/default/accept_ra': '0',
			'net/ipv6/conf/default/router_solicitations': '0',
		});
		if (options.forward)
			this.sysctl(short, { 'net/ipv4/ip_forward': '1', 'net/ipv6/conf/all/forwarding': '1' });
		this.ip(short, 'link set lo up');
	}

	/** Runs lines of `ip -batch` inside the namespace. @throws Error with the output of ip */
	ip(short: string, ...lines: readonly string[]): string {
		return run('ip', ['-n', this.name(short), '-batch', '-'], lines.join('\n'));
	}

	/** Calls ip() for one family. */
	ipOf(family: 'v4' | 'v6', short: string, ...lines: readonly string[]): string {
		const flag = family === 'v4' ? '-4' : '-6';
		return run('ip', [flag, '-n', this.name(short), '-batch', '-'], lines.join('\n'));
	}

	/** Writes sysctls. Names are paths below /proc/sys. */
	sysctl(short: string, values: Readonly<Record<string, string>>): void {
		const script = Object.entries(values)
			.map(([name, value]) => `echo '${value}' >/proc/sys/${name}`)
			.join('\n');
		this.exec(short, 'sh', '-ec', script);
	}

	/**
	 * Runs a program inside the namespace. It keeps the mounts, so that bpffs and cgroups stay
	 * visible.
	 */
	exec(short: string, command: string, ...args: readonly string[]): string {
		return run('nsenter', [`--net=${this.path(short)}`, command, ...args]);
	}

	/** Creates a veth pair between two namespaces, with both ends up. */
	veth(a: { ns: string; dev: string; mac?: string }, b: { ns: string; dev: string; mac?: string }): void {
		const address = (mac: string | undefined) => (mac ? `address ${mac}` : '');
		this.ip(
			a.ns,
			`link add ${a.dev} ${address(a.mac)} type veth peer name ${b.dev} ${address(b.mac)} netns ${this.name(b.ns)}`,
			`link set ${a.dev} up`,
		);
		this.ip(b.ns, `link set ${b.dev} up`);
	}

	ifindex(short: string, dev: string): number {
		const [link] = JSON.parse(run('ip', ['-n', this.name(short), '-j', 'link', 'show', dev])) as [
			{ ifindex: number },
		];
		return link.ifindex;
	}

	/** Deletes the namespaces with their links, addresses and routes. */
	close(): void {
		for (const short of this.#made)
			if (existsSync(this.path(short))) run('ip', ['netns', 'delete', this.name(short)]);
		this.#made.clear();
		rmSync(join(BPFFS, this.prefix), { recursive: true, force: true });
	}

	[Symbol.dispose](): void {
		this.close();
	}
}

const BPFFS = '/sys/fs/bpf';
const namesIn = (directory: string) => (existsSync(directory) ? readdirSync(directory) : []);

/** Whether the prefix consists of `base` and the id of a process that is gone. */
export function isDead(base: string, prefix: string): boolean {
	const pid = prefix.startsWith(base) ? prefix.slice(base.length) : '';
	return /^\d+$/.test(pid) && !existsSync(`/proc/${pid}`);
}

function run(command: string, args: readonly string[], input?: string): string {
	try {
		return execFileSync(command, args, { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'] });
	} catch (error) {
		const { stderr } = error as { stderr?: string };
		throw new Error(`Cannot run ${command} ${args.join(' ')}: ${stderr?.trim()}`, { cause: error });
	}
}
