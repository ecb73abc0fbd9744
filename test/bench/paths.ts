/** The measured paths of packets, each with a frame that takes it. */
import { FrontendScope, type Reason } from '../../agent/abi/layout.ts';
import { ipBytes } from '../packet/bytes.ts';
import type { Dataplane } from '../packet/fixture.ts';
import { mapAddress, type Proto } from '../packet/services.ts';
import {
	ADDR,
	type FamilyName,
	frameOf,
	NODEPORT,
	SERVICE_PORT,
	type Shape,
	SNAT_MIN,
	TARGET_PORT,
} from '../packet/shape.ts';
import { type BenchFrame, type Field, FRAME_BYTES, replyEntry } from './plane.ts';

export const MANY = 65536;
export type Flows = 1 | typeof MANY | 'new';
export interface Path {
	name: string;
	hook: 'XDP' | 'TC';
	program: string;
	dev: string;
	family: FamilyName;
	proto: Proto;
	flows: Flows;
	/** The reason that every run must increment. */
	reason: keyof typeof Reason;
	frame: BenchFrame;
	/**
	 * Source of the entries that the path needs: its own frames, the benchmark, or frames of the
	 * other direction.
	 */
	seed: 'itself' | 'written' | Pick<Path, 'program' | 'frame'>;
}

const LOCAL = NODEPORT + 1;
const BACKENDS = 1000;
const TABLE_SIZE = 100003;
/** Offsets from the start of the frame: the last two bytes of each address, and both ports. */
const OFFSETS = {
	v4: { saddr: 28, daddr: 32, sport: 34, dport: 36 },
	v6: { saddr: 36, daddr: 52, sport: 54, dport: 56 },
} as const;

const remoteBackend = (family: FamilyName, i: number) =>
	family === 'v4' ? `10.200.${i >> 8}.${i & 255}` : `fd00:200::${i.toString(16)}`;
const low16 = (address: string) => {
	const bytes = ipBytes(address);
	return (bytes.at(-2)! << 8) | bytes.at(-1)!;
};

/** Writes Services and routes to a thousand backends, and reply entries for 64Ki flows. */
export function prepare(plane: Dataplane): void {
	plane.net.ip('dut', 'route add 10.200.0.0/16 via 192.168.10.12', 'route add fd00:200::/64 via fd00:10::12');
	for (const family of ['v4', 'v6'] as const)
		for (const proto of ['tcp', 'udp'] as const) {
			const { node, clusterIp, local } = ADDR[family];
			const scope = FrontendScope.INTERNAL;
			const address = (_: unknown, i: number) => ({
				address: remoteBackend(family, i + 1),
				port: TARGET_PORT,
			});
			if (proto === 'tcp')
				plane.services.add({
					proto,
					frontends: [{ address: node, port: NODEPORT }],
					backends: Array.from({ length: BACKENDS }, address),
					tableSize: TABLE_SIZE,
				});
			const backends = [{ address: local, port: TARGET_PORT, local: true }];
			plane.services.add({ proto, frontends: [{ address: node, port: LOCAL }], backends });
			const remotes = [{ address: remoteBackend(family, 1), port: TARGET_PORT }];
			plane.services.add({
				proto,
				frontends: [{ address: clusterIp, port: SERVICE_PORT, scope }],
				backends: remotes,
			});
		}
}

/** Writes the entries that replies of remote backends match. */
export function writeReplies(plane: Dataplane, family: FamilyName): void {
	const { node, client } = ADDR[family];
	const entries = Array.from({ length: MANY }, (_, flow) => {
		const proto = 6;
		const backend = mapAddress(remoteBackend(family, 1 + (flow & 15)));
		const dport = SNAT_MIN + (flow >> 4);
		const key = { saddr: backend, daddr: mapAddress(node), sport: TARGET_PORT, dport, proto };
		const to = { daddr: mapAddress(client), dport: 1024 + (flow & 0x7fff) };
		return replyEntry(key, { saddr: mapAddress(node), sport: NODEPORT, proto, ...to });
	});
	const map = plane.objects.map('connections');
	map.updateBatch(
		Buffer.concat(entries.map(([key]) => key)),
		Buffer.concat(entries.map(([, value]) => value)),
	);
}

const fixed = (offset: number, low: number): Field => ({ offset, low, shift: 0, mask: 0 });

/** Fields of clients that differ in port (15 bits) and address. */
function clientFields(family: FamilyName, flows: Flows, reply = false): [Field, Field] {
	const { saddr, daddr, sport, dport } = OFFSETS[family];
	const port = { offset: reply ? dport : sport, low: 1024, shift: 0, mask: 0x7fff };
	const address = { offset: reply ? daddr : saddr, low: low16(ADDR[family].client), shift: 15, mask: 1 };
	return flows === 'new' ? [port, { ...address, low: 0, mask: 0xffff }] : [port, address];
}

/** Fields of sixteen backends that reply to 4096 ports. */
function replyFields(family: FamilyName): [Field, Field] {
	const { saddr, dport } = OFFSETS[family];
	const backend = { offset: saddr, low: low16(remoteBackend(family, 1)), shift: 0, mask: 15 };
	return [{ offset: dport, low: SNAT_MIN, shift: 4, mask: 0xfff }, backend];
}

function frameFor(of: Pick<Spec, 'shape' | 'fields'> & Pick<Path, 'family' | 'flows' | 'proto'>): BenchFrame {
	const { family, flows, proto } = of;
	const shape = { proto, ...of.shape(family) };
	const bare = frameOf({ ...shape, payload: '' }).length;
	const bytes = frameOf({ ...shape, payload: 'x'.repeat(FRAME_BYTES - bare) });
	const [a, b] = of.fields(family, flows);
	if (flows === 1)
		return { a: fixed(a.offset, a.low), b: fixed(b.offset, b.low), flowMask: 0, next: 0, bytes };
	return { a, b, flowMask: flows === 'new' ? 0xffff_ffff : flows - 1, next: 0, bytes };
}

type Spec = Pick<Path, 'name' | 'hook' | 'program' | 'reason'> & {
	flows: readonly Flows[];
	dev?: string;
	proto?: Proto;
	seed?(family: FamilyName, flows: Flows): Path['seed'];
	shape(family: FamilyName): Omit<Shape, 'proto'>;
	fields(family: FamilyName, flows: Flows): [Field, Field];
};

const outside = (dport: number, dst?: 'other') => (family: FamilyName) => ({
	src: ADDR[family].client,
	dst: ADDR[family][dst ?? 'node'],
	sport: 1024,
	dport,
});
const BOTH = [1, MANY] as const;
const XDP = { hook: 'XDP', program: 'bench_xdp' } as const;
const TC = { hook: 'TC', program: 'bench_from_netdev' } as const;

const remote = { shape: outside(NODEPORT), fields: clientFields };
const local = { shape: outside(LOCAL), fields: clientFields };
const miss = {
	shape: outside(NODEPORT, 'other'),
	fields: clientFields,
	flows: BOTH,
	reason: 'PASS_NOT_SERVICE',
} as const;
const reply = {
	shape: (family: FamilyName) => ({
		src: remoteBackend(family, 1),
		dst: ADDR[family].node,
		sport: TARGET_PORT,
		dport: SNAT_MIN,
	}),
	fields: replyFields,
	flows: BOTH,
	reason: 'TO_CLIENT',
	seed: () => 'written' as const,
} as const;
const localReply = {
	shape: (family: FamilyName) => ({
		src: ADDR[family].local,
		dst: ADDR[family].client,
		sport: TARGET_PORT,
		dport: 1024,
	}),
	fields: (family: FamilyName, flows: Flows) => clientFields(family, flows, true),
	seed: (family: FamilyName, flows: Flows) => ({
		program: TC.program,
		frame: frameFor({ ...local, family, flows, proto: 'tcp' }),
	}),
} as const;

const SPECS: readonly Spec[] = [
	{ name: 'frontend miss', ...XDP, ...miss },
	{ name: 'frontend miss', ...TC, ...miss },
	{ name: 'established, remote', ...XDP, ...remote, flows: BOTH, reason: 'TO_REMOTE' },
	{ name: 'established, remote', ...TC, ...remote, flows: BOTH, reason: 'TO_REMOTE' },
	{ name: 'established, local', ...TC, ...local, flows: BOTH, reason: 'TO_LOCAL' },
	{
		name: 'reply, local',
		hook: 'TC',
		program: 'bench_to_netdev',
		...localReply,
		flows: BOTH,
		reason: 'REPLY_ROUTED',
	},
	{ name: 'reply, remote', ...XDP, ...reply },
	{ name: 'reply, remote', ...TC, ...reply },
	{
		name: 'pod UDP to ClusterIP',
		hook: 'TC',
		program: 'bench_from_pod',
		dev: 'pod0',
		proto: 'udp',
		shape: (family) => ({
			src: ADDR[family].local2,
			dst: ADDR[family].clusterIp,
			sport: 1024,
			dport: SERVICE_PORT,
		}),
		fields: clientFields,
		flows: BOTH,
		reason: 'TO_ROUTED',
	},
	{ name: 'new flow, remote', ...XDP, ...remote, flows: ['new'], reason: 'TO_REMOTE' },
	{ name: 'new flow, remote', ...TC, ...remote, flows: ['new'], reason: 'TO_REMOTE' },
	{ name: 'new flow, local', ...TC, ...local, flows: ['new'], reason: 'TO_LOCAL' },
];

export const PATHS: readonly Path[] = SPECS.flatMap(({ flows, shape, fields, seed, ...spec }) =>
	(['v4', 'v6'] as const).flatMap((family) =>
		flows.map((count): Path => {
			const proto = spec.proto ?? 'tcp';
			const frame = frameFor({ shape, fields, family, flows: count, proto });
			return {
				dev: 'up0',
				...spec,
				seed: seed?.(family, count) ?? 'itself',
				proto,
				family,
				flows: count,
				frame,
			};
		}),
	),
);
