import {
	BackendFlag,
	backendCodec,
	ConnFlag,
	connCodec,
	counterCodec,
	type FrontendKey,
	frontendCodec,
	frontendKeyCodec,
	MAPS,
	Reason,
	tableChunkCodec,
	tupleCodec,
} from '../../agent/abi/layout.ts';
import { FakeArray, FakeHash, fakeServiceMaps } from '../../agent/bpf/fake.ts';
import type { CliContext, PinnedMaps } from '../../agent/cli/context.ts';
import { type LateCommands, runCli } from '../../agent/cli/program.ts';
import { parseIp } from '../../agent/model/ip.ts';

export const bytesOf = (ip: string): Uint8Array => parseIp(ip)!.bytes;

export function u32(value: number): Uint8Array {
	return new Uint8Array(Uint32Array.of(value).buffer);
}

/**
 * Maps in memory with a connection, a TCP Service with two backends and a UDP Service without
 * backends.
 */
export function filledMaps(): PinnedMaps {
	const maps = fakeServiceMaps({ frontends: 100, backends: 100, chunks: 64, segments: 2 });
	const counters = new FakeArray(maps.kernel, { ...MAPS.counters, cpus: 2 });
	const connections = new FakeHash(maps.kernel, { ...MAPS.connections, maxEntries: 100 });
	const backend = (id: number, ip: string, port: number, flags: number): void =>
		maps.backends.update(
			u32(id),
			backendCodec.encode({ addr: bytesOf(ip), port, proto: 6, flags, generation: 1, serviceId: 1 }),
		);
	backend(1, '10.244.1.2', 8080, BackendFlag.VALID | BackendFlag.LOCAL);
	backend(2, '10.244.2.3', 8080, BackendFlag.VALID);
	// 19 slots from chunk 4: 13 of backend 1, 6 of backend 2. Later slots belong to no table
	const slots = Array.from({ length: 32 }, (_, i) => (i < 13 ? 1 : i < 19 ? 2 : 99));
	const segment = maps.tables.grow();
	segment.update(u32(4), tableChunkCodec.encode({ backend: slots.slice(0, 16) }));
	segment.update(u32(5), tableChunkCodec.encode({ backend: slots.slice(16) }));
	const web = { serviceId: 1, flags: 2, table: 4, tableSize: 19, backends: 2, affinitySeconds: 0 };
	const dns = { serviceId: 2, flags: 1 | 32, table: 0, tableSize: 0, backends: 0, affinitySeconds: 0 };
	const frontend = (key: FrontendKey, value: typeof web): void =>
		maps.frontends.update(frontendKeyCodec.encode(key), frontendCodec.encode(value));
	for (const scope of [0, 1]) frontend({ addr: bytesOf('10.96.0.1'), port: 80, proto: 6, scope }, web);
	frontend({ addr: bytesOf('fd00:10::11'), port: 30053, proto: 17, scope: 0 }, dns);
	const tuple = (saddr: string, sport: number, daddr: string, dport: number) => {
		return { saddr: bytesOf(saddr), sport, daddr: bytesOf(daddr), dport, proto: 6 };
	};
	const seen = { packet: 1, more: 1, fin: 0, rst: 0 };
	const rest = {
		backendId: 2,
		backendGeneration: 1,
		lastSeen: 5,
		addrDiff: 0,
		portDiff: 0,
		frontendEpoch: 0,
		claim: 1,
		slot: 0,
		backendClosedFirst: 0,
		own: seen,
		peer: seen,
	};
	const forward = tuple('192.168.10.100', 40000, '192.168.10.11', 30080);
	const translated = tuple('192.168.10.11', 61000, '10.244.2.3', 8080);
	const flags = ConnFlag.FORWARD | ConnFlag.SNAT;
	connections.update(
		tupleCodec.encode(forward),
		connCodec.encode({ ...rest, nat: translated, serviceId: 1, flags }),
	);
	connections.update(
		tupleCodec.encode(tuple('10.244.2.3', 8080, '192.168.10.11', 61000)),
		connCodec.encode({ ...rest, nat: forward, serviceId: 1, flags: ConnFlag.SNAT }),
	);
	const count = (packets: bigint) => counterCodec.encode({ packets, bytes: packets * 100n });
	const perCpu = (...values: bigint[]) => Buffer.concat(values.map(count));
	counters.update(u32(Reason.TO_REMOTE), perCpu(3n, 4n));
	counters.update(u32(Reason.DROP_TTL), perCpu(0n, 1n));
	return { ...maps, connections, counters, links: ['connect4', 'xdp_3'], [Symbol.dispose]() {} };
}

export interface Run {
	readonly code: number;
	readonly out: string;
	readonly err: string;
}

/** Runs a command line with fakes. `overrides` replaces parts of the context. */
export async function runMaglane(
	args: readonly string[],
	overrides: Partial<CliContext> = {},
	late: LateCommands = {},
): Promise<Run> {
	let out = '';
	let err = '';
	const context: CliContext = {
		env: {},
		stdout: {
			write: (text) => {
				out += text;
			},
		},
		stderr: {
			write: (text) => {
				err += text;
			},
		},
		version: { version: '1.2.3', abi: 1, node: 'v24.0.0', kernel: '6.1.0', arch: 'x64' },
		openPins: async () => filledMaps(),
		cleanup: async () => ({ removed: [] }),
		mountBpffs: async () => false,
		listServices: async () => [],
		runAgent: async () => 0,
		...overrides,
	};
	const code = await runCli(context, late, args);
	return { code, out, err };
}
