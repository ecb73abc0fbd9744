/**
 * Measures the dataplane on this machine: nanoseconds per packet of each path; connections,
 * datagrams and bytes with and without a Service; DNS in comparison with dnsmasq. All figures are
 * medians of interleaved rounds.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureDns } from '../test/bench/dns.ts';
import { measurePackets, type PacketReport } from '../test/bench/packets.ts';
import { openPlane } from '../test/bench/plane.ts';
import { measureSockets } from '../test/bench/sockets.ts';
import { dnsTable, packetTable, socketTable } from '../test/bench/tables.ts';
import { bpf, cgroup2, command, type Need, root } from './machine.ts';

const USAGE = `Usage: bench [options]
  -o, --output table|json   what is written to standard output (table)
      --only packets|sockets|dns  one of the parts
      --rounds N            rounds of each part (3)
      --runs N              packets a measurement (100000)
      --seconds S           of each socket measurement (0.3)`;

const { values: options } = parseArgs({
	options: {
		output: { type: 'string', short: 'o', default: 'table' },
		only: { type: 'string' },
		rounds: { type: 'string', default: '3' },
		runs: { type: 'string', default: '100000' },
		seconds: { type: 'string', default: '0.3' },
		help: { type: 'boolean', short: 'h' },
	},
});

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());

const needs: readonly Need[] = [root, bpf, cgroup2, command('clang'), command('ip'), command('nsenter')];
const dnsNeeds: readonly Need[] = [command('dnsmasq'), command('taskset')];

async function main(): Promise<number> {
	if (options.help) {
		console.log(USAGE);
		return 0;
	}
	const missing = needs.map((need) => need()).filter((why) => why !== undefined);
	if (missing.length > 0) {
		console.error(`Nothing is measured: ${missing.join('; ')}`);
		return 1;
	}
	const directory = mkdtempSync(join(tmpdir(), 'maglane-bench-'));
	try {
		await measureAll(directory);
		return 0;
	} catch (error) {
		if (!stop.signal.aborted) throw error;
		console.error('Stopped, nothing is left behind');
		return 130;
	} finally {
		rmSync(directory, { recursive: true, force: true });
	}
}

async function measureAll(directory: string): Promise<void> {
	const rounds = Number(options.rounds);
	const { signal } = stop;
	const say = (what: string) => (round: number) => console.error(`${what}: round ${round + 1} of ${rounds}`);
	const wanted = (part: string) => options.only === undefined || options.only === part;
	let packets: PacketReport | undefined;
	if (wanted('packets')) {
		using plane = await openPlane(directory);
		packets = await measurePackets(plane, {
			rounds,
			runs: Number(options.runs),
			progress: say('packets'),
			signal,
		});
	}
	const sockets = wanted('sockets')
		? await measureSockets({
				directory,
				rounds,
				seconds: Number(options.seconds),
				progress: say('sockets'),
				signal,
			})
		: undefined;
	const lacks = dnsNeeds.flatMap((need) => need() ?? []);
	if (lacks.length > 0) console.error(`dns: not measured: ${lacks.join('; ')}`);
	const dns =
		wanted('dns') && lacks.length === 0
			? await measureDns({
					directory,
					rounds,
					seconds: Math.max(1, Number(options.seconds)),
					progress: say('dns'),
					signal,
				})
			: undefined;
	const machine = { kernel: release(), cpu: cpus()[0]?.model ?? 'unknown', cpus: cpus().length, rounds };
	if (options.output === 'json')
		console.log(JSON.stringify({ machine, packets, sockets, dns }, undefined, '\t'));
	else {
		console.log(`Linux ${machine.kernel}, ${machine.cpus} x ${machine.cpu}, medians of ${rounds} rounds\n`);
		if (packets) console.log(packetTable(packets));
		if (sockets) console.log(socketTable(sockets));
		if (dns) console.log(dnsTable(dns));
	}
}

process.exitCode = await main();
