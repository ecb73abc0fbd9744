import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FrontendFlag, FrontendScope, ServiceAddressFlag } from '../../agent/abi/layout.ts';
import { packet } from './builder.ts';
import { decode, verifyChecksums } from './decode.ts';
import { Dataplane, dropped, passed, program } from './fixture.ts';
import { expectSameBytes } from './hexdump.ts';
import {
	ADDR,
	CASES,
	FAMILIES,
	type FamilyName,
	frameOf,
	MAC,
	SERVICE_PORT,
	type Shape,
	SNAT_MIN,
	TARGET_PORT,
} from './shape.ts';

const UNKNOWN_PORT = 8443;
/** An address of a load balancer, one without backends, and unallocated ClusterIPs. */
const MORE = {
	v4: { lb: '198.51.100.7', idle: '198.51.100.8', free: '10.96.9.9', free2: '10.97.0.1' },
	v6: { lb: '2001:db8:7::7', idle: '2001:db8:7::8', free: 'fd00:10:96::99', free2: 'fd00:10:97::1' },
} as const;
const { EXTERNAL, INTERNAL } = FrontendScope;
const { CLUSTERIP, USABLE_EXTERNAL, USABLE_INTERNAL } = ServiceAddressFlag;

const HOOKS = [
	{ hook: program('ml_from_netdev'), client: 'client' },
	{ hook: program('ml_from_pod'), client: 'local' },
] as const;
const name = ({ hook }: (typeof HOOKS)[number]) => hook.name;
const MATRIX = HOOKS.flatMap((one) => FAMILIES.map((family) => ({ ...one, family, name: name(one) })));
type Row = (typeof MATRIX)[number];

async function open(prefix: string, answerEcho: number): Promise<Dataplane> {
	const plane = await Dataplane.open(prefix, { answer_echo: answerEcho });
	for (const family of FAMILIES) {
		const { clusterIp, remote } = ADDR[family];
		const { lb, idle } = MORE[family];
		for (const proto of ['tcp', 'udp'] as const) {
			const at = (address: string, flags: number) =>
				[EXTERNAL, INTERNAL].map((scope) => ({ address, port: SERVICE_PORT, scope, flags }));
			const frontends = [...at(clusterIp, FrontendFlag.CLUSTERIP), ...at(lb, FrontendFlag.LOADBALANCER)];
			plane.services.add({ proto, frontends, backends: [{ address: remote, port: TARGET_PORT }] });
			plane.services.add({ proto, frontends: at(idle, FrontendFlag.LOADBALANCER), backends: [] });
		}
		plane.services.address(clusterIp, CLUSTERIP | USABLE_INTERNAL | USABLE_EXTERNAL);
		plane.services.address(lb, USABLE_INTERNAL | USABLE_EXTERNAL);
		plane.services.address(idle, 0);
	}
	plane.services.serviceCidrs('10.96.0.0/16', 'fd00:10:96::/112');
	return plane;
}

describe('what is to no frontend (B R-1)', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await open('mlpd', 0);
	});
	afterAll(() => plane?.close());

	const send = ({ hook, family, client }: Row, shape: Partial<Shape> & Pick<Shape, 'proto' | 'dst'>) => {
		const frame = frameOf({
			src: ADDR[family][client],
			sport: 4000,
			dport: UNKNOWN_PORT,
			flags: 'S',
			...shape,
		});
		return { frame, ...plane.counting(() => plane.run(hook, frame)) };
	};
	const untouched = (hook: Row['hook'], sent: ReturnType<typeof send>) => {
		expect(passed(hook, sent.result.action)).toBe(true);
		expectSameBytes(sent.result.bytes, sent.frame);
		expect(sent.reasons).toEqual({ PASS_NOT_SERVICE: 1 });
	};

	it.each(MATRIX)('$name IP$family: a port that a ClusterIP does not have is reset', (row) => {
		const { clusterIp } = ADDR[row.family];
		for (const dport of [UNKNOWN_PORT, SNAT_MIN]) {
			const { result, reasons } = send(row, { proto: 'tcp', dst: clusterIp, dport });
			expect([result.action, reasons]).toEqual([7, { REJECT_NO_PORT: 1 }]);
			verifyChecksums(result.bytes);
			const { ip, tcp } = decode(result.bytes);
			expect(ip).toMatchObject({ src: clusterIp, dst: ADDR[row.family][row.client] });
			expect(tcp).toMatchObject({ sport: dport, dport: 4000, flags: 'RA' });
		}
	});

	it.each(MATRIX)('$name IP$family: UDP to one gets ICMP port unreachable', (row) => {
		const { clusterIp } = ADDR[row.family];
		const { result, reasons } = send(row, { proto: 'udp', dst: clusterIp });
		expect([result.action, reasons]).toEqual([7, { REJECT_NO_PORT: 1 }]);
		verifyChecksums(result.bytes);
		const { ip, icmp } = decode(result.bytes);
		expect(ip).toMatchObject({ src: clusterIp, dst: ADDR[row.family][row.client] });
		expect(icmp).toMatchObject(row.family === 'v4' ? { type: 3, code: 3 } : { type: 1, code: 4 });
	});

	it.each(MATRIX)(
		"$name IP$family: a load balancer's other ports are refused to outside clients, and are its own to pods",
		(row) => {
			for (const proto of ['tcp', 'udp'] as const) {
				const sent = send(row, { proto, dst: MORE[row.family].lb });
				if (row.client === 'local') untouched(row.hook, sent);
				else expect([sent.result.action, sent.reasons]).toEqual([7, { REJECT_NO_PORT: 1 }]);
			}
		},
	);

	it.each(MATRIX)(
		'$name IP$family: an address that nobody has, in the range of ClusterIPs, is dropped',
		(row) => {
			const { free, free2 } = MORE[row.family];
			for (const proto of ['tcp', 'udp'] as const) {
				const { result, reasons } = send(row, { proto, dst: free });
				expect(dropped(row.hook, result.action)).toBe(true);
				expect(reasons).toEqual({ DROP_NO_ADDRESS: 1 });
				untouched(row.hook, send(row, { proto, dst: free2 }));
			}
		},
	);

	it.each(MATRIX)('$name IP$family: ports of the node, of pods and of all others are theirs', (row) => {
		const { node, node20, local2, remote, other } = ADDR[row.family];
		for (const dst of [node, node20, local2, remote, other])
			for (const proto of ['tcp', 'udp'] as const) untouched(row.hook, send(row, { proto, dst }));
	});

	it.each(MATRIX)('$name IP$family: other protocols to a ClusterIP are dropped', (row) => {
		const { clusterIp } = ADDR[row.family];
		const { result, reasons } = plane.counting(() => plane.run(row.hook, echo(row, clusterIp)));
		expect(dropped(row.hook, result.action)).toBe(true);
		expect(reasons).toEqual({ DROP_PROTOCOL: 1 });
		const free = plane.counting(() => plane.run(row.hook, echo(row, MORE[row.family].free)));
		expect(free.reasons).toEqual({ DROP_NO_ADDRESS: 1 });
	});

	it.each(CASES)('XDP leaves all of it to TC, $proto IP$family', ({ family, proto }) => {
		const xdp = program('ml_xdp');
		for (const dst of [ADDR[family].clusterIp, MORE[family].lb, MORE[family].free]) {
			const frame = frameOf({
				proto,
				src: ADDR[family].client,
				dst,
				sport: 4000,
				dport: UNKNOWN_PORT,
				flags: 'S',
			});
			const { action, bytes } = plane.run(xdp, frame);
			expect(passed(xdp, action)).toBe(true);
			expectSameBytes(bytes, frame);
		}
	});
});

interface Echo {
	readonly ttl?: number;
	readonly tos?: number;
	readonly payload?: string | Uint8Array;
	readonly type?: number;
	readonly rest?: number;
}

const ID_AND_SEQUENCE = 0x12340007;

/** An ICMP echo request, or another ICMP message. */
function echo(
	{ family, client }: Pick<Row, 'family' | 'client'>,
	dst: string,
	options: Echo = {},
): Uint8Array {
	const { ttl = 64, tos = 0, payload = 'ping?', rest = ID_AND_SEQUENCE } = options;
	const eth = packet().eth({ src: MAC.client, dst: MAC.node });
	const src = ADDR[family][client];
	return family === 'v4'
		? eth
				.ipv4({ src, dst, ttl, tos })
				.icmp({ type: options.type ?? 8, code: 0, rest })
				.payload(payload)
				.bytes()
		: eth
				.ipv6({ src, dst, hopLimit: ttl, trafficClass: tos })
				.icmp6({ type: options.type ?? 128, code: 0, rest })
				.payload(payload)
				.bytes();
}

const REPLY: Readonly<Record<FamilyName, number>> = { v4: 0, v6: 129 };

describe('ICMP echo to a service address (F-52)', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await open('mlpe', 1);
	});
	afterAll(() => plane?.close());

	it.each(MATRIX)('$name IP$family: is answered, identifier, sequence and data kept (F-52)', (row) => {
		for (const dst of [ADDR[row.family].clusterIp, MORE[row.family].lb]) {
			for (const payload of ['', 'x', new Uint8Array(1400).map((_, i) => i)]) {
				const frame = echo(row, dst, { ttl: 3, tos: 0x8c, payload });
				const { result, reasons } = plane.counting(() => plane.run(row.hook, frame));
				expect([result.action, reasons]).toEqual([7, { ECHO: 1 }]);
				verifyChecksums(result.bytes);
				const asked = decode(frame);
				const { eth, ip, icmp, payload: back } = decode(result.bytes);
				expect(eth).toMatchObject({ src: MAC.node, dst: MAC.client });
				expect(ip).toMatchObject({ src: dst, dst: ADDR[row.family][row.client], ttl: 64, tos: 0x8c });
				expect(icmp).toMatchObject({ type: REPLY[row.family], code: 0, rest: ID_AND_SEQUENCE });
				expect(back).toEqual(asked.payload);
			}
		}
	});

	it.each(MATRIX)('$name IP$family: not while no backend is there', (row) => {
		const { reasons } = plane.counting(() => plane.run(row.hook, echo(row, MORE[row.family].idle)));
		expect(reasons).toEqual(row.client === 'local' ? { PASS_PROTOCOL: 1 } : { DROP_PROTOCOL: 1 });
		plane.services.address(ADDR[row.family].clusterIp, CLUSTERIP);
		const none = plane.counting(() => plane.run(row.hook, echo(row, ADDR[row.family].clusterIp)));
		expect(none.reasons).toEqual({ DROP_PROTOCOL: 1 });
		const usable = row.client === 'local' ? USABLE_INTERNAL : USABLE_EXTERNAL;
		plane.services.address(ADDR[row.family].clusterIp, CLUSTERIP | usable);
		const again = plane.counting(() => plane.run(row.hook, echo(row, ADDR[row.family].clusterIp)));
		expect(again.reasons).toEqual({ ECHO: 1 });
		plane.services.address(ADDR[row.family].clusterIp, CLUSTERIP | USABLE_INTERNAL | USABLE_EXTERNAL);
	});

	it.each(MATRIX)("$name IP$family: nothing but a request, and nobody else's", (row) => {
		const { clusterIp, node, other } = ADDR[row.family];
		const reply = echo(row, clusterIp, { type: REPLY[row.family] });
		expect(plane.counting(() => plane.run(row.hook, reply)).reasons).toEqual({ DROP_PROTOCOL: 1 });
		for (const dst of [node, other]) {
			const frame = echo(row, dst);
			const { result, reasons } = plane.counting(() => plane.run(row.hook, frame));
			expect(passed(row.hook, result.action)).toBe(true);
			expectSameBytes(result.bytes, frame);
			expect(reasons).toEqual({ PASS_PROTOCOL: 1 });
		}
	});
});
