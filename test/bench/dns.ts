/**
 * Measures queries a second for names of Services. Our server and dnsmasq run in turn, each alone
 * on one core.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { addressOf, nameOf } from './dns-names.ts';
import { compileLoad } from './load.ts';
import { median } from './median.ts';

const NAMES = 1000;
/** Outstanding queries, as many clients would have. */
const WINDOW = 64;
/** Unit of the times in /proc/PID/stat, the same on every Linux that Node runs on. */
const TICKS_A_SECOND = 100;
const DNSMASQ_PORT = 15_353;

export interface DnsOptions {
	readonly directory: string;
	readonly rounds: number;
	readonly seconds: number;
	readonly progress: (round: number) => void;
	readonly signal: AbortSignal;
}

export interface DnsResult {
	readonly server: string;
	/**
	 * Answers a second of the clock, and a second of the server's CPU time. On a machine with other
	 * load, compare the latter.
	 */
	readonly perSecond: number;
	readonly perCpuSecond: number;
}

interface Server {
	readonly name: string;
	readonly child: ChildProcess;
	readonly port: number;
}

/** @throws Error when a server answers with an address other than the configured one */
export async function measureDns(options: DnsOptions): Promise<DnsResult[]> {
	const load = await compileLoad(options.directory, 'dns-load');
	const servers: Server[] = [];
	try {
		servers.push(await startOurs(), await startDnsmasq(options.directory));
		const results = new Map(servers.map(({ name }) => [name, [] as DnsResult[]]));
		for (let round = 0; round < options.rounds; round++) {
			options.progress(round);
			for (const server of servers) results.get(server.name)!.push(await measureOne(load, server, options));
		}
		return [...results].map(([server, all]) => ({
			server,
			perSecond: median(all.map(({ perSecond }) => perSecond)),
			perCpuSecond: median(all.map(({ perCpuSecond }) => perCpuSecond)),
		}));
	} finally {
		for (const { child } of servers) child.kill();
	}
}

async function measureOne(load: string, server: Server, { seconds, signal }: DnsOptions): Promise<DnsResult> {
	const before = cpuSeconds(server.child.pid!);
	const args = ['127.0.0.1', String(server.port), String(seconds), String(WINDOW)];
	const client = spawn(...pinned(0, [load, ...args]), { stdio: ['pipe', 'pipe', 'inherit'], signal });
	client.stdin.end(`${Array.from({ length: NAMES }, (_, i) => nameOf(i)).join('\n')}\n`);
	const [line] = (await once(createInterface({ input: client.stdout }), 'line')) as [string];
	const [answers = 0, good = 0, took = 0] = line.split(' ').map(Number);
	if (answers === 0 || good < answers)
		throw new Error(`${server.name} gave ${good} addresses in ${answers} answers`);
	const cpu = cpuSeconds(server.child.pid!) - before;
	return { server: server.name, perSecond: answers / took, perCpuSecond: answers / cpu };
}

/** On a machine with one core, client and server share it. */
function pinned(cpu: number, argv: readonly string[]): [string, string[]] {
	return ['taskset', ['-c', String(cpu), ...argv]];
}

const lastCpu = (): number => cpus().length - 1;

async function startOurs(): Promise<Server> {
	const script = join(import.meta.dirname, 'dns-server.ts');
	const [program, args] = pinned(lastCpu(), [process.execPath, script, String(NAMES)]);
	const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
	const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
	return { name: 'maglane', child, port: Number(line) };
}

async function startDnsmasq(directory: string): Promise<Server> {
	const file = join(directory, 'dnsmasq.conf');
	const records = Array.from({ length: NAMES }, (_, i) => `host-record=${nameOf(i)},${addressOf(i)}`);
	const lines = [
		'no-resolv',
		'no-hosts',
		'bind-interfaces',
		'listen-address=127.0.0.1',
		`port=${DNSMASQ_PORT}`,
	];
	writeFileSync(file, [...lines, 'pid-file=', 'user=', ...records, ''].join('\n'));
	const argv = ['dnsmasq', '--keep-in-foreground', `--conf-file=${file}`];
	const [program, args] = pinned(lastCpu(), argv);
	const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
	const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], env });
	while (!isBound(DNSMASQ_PORT)) {
		if (child.exitCode !== null) throw new Error(`dnsmasq ended with status ${child.exitCode}`);
		await sleep(10);
	}
	return { name: 'dnsmasq', child, port: DNSMASQ_PORT };
}

function isBound(port: number): boolean {
	return readFileSync('/proc/net/udp', 'utf8').includes(`:${port.toString(16).toUpperCase()} 00000000:0000`);
}

/** User and system time of a process. */
function cpuSeconds(pid: number): number {
	const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
	return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}
