/**
 * Tests replies to connected UDP sockets of the node whose datagrams TC translated. The socket must
 * receive them unchanged.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ConnFlag, connCodec, type Tuple, tupleCodec } from '../../agent/abi/layout.ts';
import { Dataplane, passed, program, redirected } from './fixture.ts';
import { expectSameBytes } from './hexdump.ts';
import { mapAddress } from './services.ts';
import { ADDR, FAMILIES, frameOf, NODEPORT, type Shape, SNAT_MIN, TARGET_PORT } from './shape.ts';

type Family = (typeof FAMILIES)[number];

const HOOKS = [program('ml_xdp'), program('ml_from_netdev')];
const CASES = HOOKS.flatMap((hook) => FAMILIES.map((family) => ({ hook, name: hook.name, family })));
/** The port of a NodePort, and a port of the SNAT range. */
const PORTS = [NODEPORT, SNAT_MIN];
const UDP = 17;
const UNTOUCHED = { PASS_NOT_SERVICE: 1 };

describe('an answer to a socket of the node', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlph');
		for (const family of FAMILIES)
			plane.services.add({
				proto: 'udp',
				frontends: [{ address: ADDR[family].node, port: NODEPORT }],
				backends: [{ address: ADDR[family].remote, port: TARGET_PORT }],
			});
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	const answer = (family: Family, dport: number): Shape => {
		const { remote, node } = ADDR[family];
		return { proto: 'udp', src: remote, dst: node, sport: TARGET_PORT, dport };
	};
	/**
	 * Writes the reverse entry of a flow from that port of the node to its Service, as egress writes
	 * it.
	 */
	const enter = (family: Family, dport: number, flags: number): void => {
		const { client, remote, node, clusterIp } = ADDR[family];
		plane.run(HOOKS[0]!, frameOf({ proto: 'udp', src: client, dst: node, sport: 4000, dport: NODEPORT }));
		const { conn } = plane.connections()[0]!;
		const tuple = (saddr: string, sport: number): Tuple => ({
			saddr: mapAddress(saddr),
			daddr: mapAddress(node),
			sport,
			dport,
			proto: UDP,
		});
		plane.clear();
		plane.objects
			.map('connections')
			.update(
				tupleCodec.encode(tuple(remote, TARGET_PORT)),
				connCodec.encode({ ...conn, flags, nat: tuple(clusterIp, 80) }),
			);
	};

	it.each(CASES)(
		'$name IP$family: is no client’s datagram, whose port ever the socket has',
		({ hook, family }) => {
			for (const port of PORTS)
				for (const flags of [ConnFlag.NODE, ConnFlag.NODE | ConnFlag.SNAT, ConnFlag.NODE | ConnFlag.LOCAL]) {
					enter(family, port, flags);
					const frame = frameOf(answer(family, port));
					const { result, reasons } = plane.counting(() => plane.run(hook, frame));
					expect(passed(hook, result.action), `${port} ${flags}`).toBe(true);
					expectSameBytes(result.bytes, frame);
					expect(reasons).toEqual(UNTOUCHED);
					expect(plane.connections()).toHaveLength(1);
					plane.clear();
				}
		},
	);

	it.each(CASES)(
		'$name IP$family: is sent on where it is of another’s flow, or of none',
		({ hook, family }) => {
			enter(family, NODEPORT, ConnFlag.SNAT);
			const sent = plane.counting(() => plane.run(hook, frameOf(answer(family, NODEPORT))));
			expect(sent.reasons).not.toEqual(UNTOUCHED);
			plane.clear();
			const { action } = plane.run(hook, frameOf(answer(family, NODEPORT)));
			expect(redirected(hook, action)).toBe(true);
		},
	);
});
