import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FrontendScope } from '../../agent/abi/layout.ts';
import { ETH_ARP, EXT_DESTINATION, EXT_HOP_BY_HOP, packet } from './builder.ts';
import { fromHex } from './bytes.ts';
import { Dataplane, PROGRAMS, passed } from './fixture.ts';
import { expectSameBytes } from './hexdump.ts';
import {
	ADDR,
	CASES,
	FAMILIES,
	frameOf,
	NODEPORT,
	SERVICE_PORT,
	SNAT_MAX,
	SNAT_MIN,
	TARGET_PORT,
} from './shape.ts';

const arp = packet()
	.eth({ dst: 'ff:ff:ff:ff:ff:ff', type: ETH_ARP })
	.payload(fromHex('0001080006040001020000000a64c0a80a64000000000000c0a80a0b'));

/** Frames that match no Service, each with its counted reason. */
function foreign(): [name: string, reason: string, frame: Uint8Array][] {
	const udp6 = packet().eth().ipv6({ src: ADDR.v6.client, dst: ADDR.v6.node });
	const toNode = packet().eth().ipv4({ src: ADDR.v4.client, dst: ADDR.v4.node });
	const udp = { sport: 4000, dport: NODEPORT };
	const nobody = { sport: 4000, dport: NODEPORT + 1 };
	return [
		['ARP', 'PASS_NOT_IP', arp.bytes()],
		[
			'LLDP',
			'PASS_NOT_IP',
			packet().eth({ type: 0x88cc }).payload(fromHex('0207040200000000010000')).bytes(),
		],
		[
			'a tagged frame to a NodePort',
			'PASS_NOT_IP',
			packet().eth().vlan(7).ipv4({ src: ADDR.v4.client, dst: ADDR.v4.node }).udp(udp).payload('x').bytes(),
		],
		[
			'a frame with two tags (802.1ad) to a NodePort',
			'PASS_NOT_IP',
			packet()
				.eth()
				.vlan(5, 0x88a8)
				.vlan(7)
				.ipv4({ src: ADDR.v4.client, dst: ADDR.v4.node })
				.udp(udp)
				.payload('x')
				.bytes(),
		],
		[
			'neighbour solicitation',
			'PASS_PROTOCOL',
			packet()
				.eth()
				.ipv6({ src: ADDR.v6.client, dst: 'ff02::1:ff00:11', hopLimit: 255 })
				.icmp6({ type: 135 })
				.payload(fromHex('fd0000100000000000000000000000110101020000000a64'))
				.bytes(),
		],
		[
			'ICMP echo to the node',
			'PASS_PROTOCOL',
			toNode.icmp({ type: 8, rest: 0x10001 }).payload('ping').bytes(),
		],
		['IPIP', 'PASS_PROTOCOL', toNode.ipv4({ src: '10.0.0.1', dst: '10.0.0.2', proto: 17 }).bytes()],
		[
			'SCTP',
			'PASS_PROTOCOL',
			packet()
				.eth()
				.ipv4({ src: ADDR.v4.client, dst: ADDR.v4.node, proto: 132 })
				.payload(fromHex('0fa07580000000000000000000000000'))
				.bytes(),
		],
		[
			'UDP to nobody behind a hop-by-hop header',
			'PASS_NOT_SERVICE',
			udp6.ext(EXT_HOP_BY_HOP).udp(nobody).payload('x').bytes(),
		],
		[
			'UDP to nobody behind destination options',
			'PASS_NOT_SERVICE',
			udp6.ext(EXT_DESTINATION).udp(nobody).payload('x').bytes(),
		],
		[
			'an atomic fragment to nobody',
			'PASS_NOT_SERVICE',
			udp6.fragment({ id: 9 }).udp(nobody).payload('x').bytes(),
		],
	];
}

describe('every packet program', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const { family, proto } of CASES) {
			const { node, clusterIp, remote } = ADDR[family];
			plane.services.add({
				proto,
				frontends: [
					{ address: node, port: NODEPORT },
					{ address: clusterIp, port: SERVICE_PORT, scope: FrontendScope.INTERNAL },
				],
				backends: [{ address: remote, port: TARGET_PORT }],
			});
		}
	});
	afterAll(() => plane?.close());

	describe.each(PROGRAMS)('$name', (program) => {
		it.each(foreign())('passes %s as it came and counts %s (F-51, F R-6)', (_, reason, frame) => {
			const { result, reasons } = plane.counting(() => plane.run(program, frame));
			expect(passed(program, result.action)).toBe(true);
			expectSameBytes(result.bytes, frame);
			expect(reasons).toEqual({ [reason]: 1 });
		});

		it.each(CASES)(
			'passes $proto over IP$family to nobody as it came (F-51, F-48, F R-6)',
			({ family, proto }) => {
				const { client, other, node } = ADDR[family];
				const misses = [
					{ dst: other, dport: NODEPORT },
					{ dst: node, dport: NODEPORT + 1 },
					{ dst: other, dport: SNAT_MIN },
					{ dst: node, dport: SNAT_MAX },
				];
				for (const miss of misses) {
					const frame = frameOf({ proto, src: client, sport: 4000, flags: 'S', ...miss });
					const { result, reasons } = plane.counting(() => plane.run(program, frame));
					expect(passed(program, result.action)).toBe(true);
					expectSameBytes(result.bytes, frame);
					expect(reasons).toEqual({ PASS_NOT_SERVICE: 1 });
				}
				expect(plane.connections()).toEqual([]);
			},
		);
	});

	it.each(CASES)(
		'keeps scopes apart: $proto over IP$family to a ClusterIP from outside passes (F-13)',
		({ family, proto }) => {
			const frame = frameOf({
				proto,
				src: ADDR[family].client,
				dst: ADDR[family].clusterIp,
				sport: 4000,
				dport: SERVICE_PORT,
				flags: 'S',
			});
			for (const program of PROGRAMS.filter(({ name }) => name === 'ml_xdp' || name === 'ml_from_netdev')) {
				const { action, bytes } = plane.run(program, frame);
				expect(passed(program, action)).toBe(true);
				expectSameBytes(bytes, frame);
			}
		},
	);

	it.each(FAMILIES)('keeps protocols apart: a UDP Service does not take TCP over IP%s (F-14)', (family) => {
		const { node, client, remote } = ADDR[family];
		plane.services.add({
			proto: 'udp',
			frontends: [{ address: node, port: 30053 }],
			backends: [{ address: remote, port: 53 }],
		});
		const frame = frameOf({ proto: 'tcp', src: client, dst: node, sport: 4000, dport: 30053, flags: 'S' });
		for (const program of PROGRAMS) {
			const { result, reasons } = plane.counting(() => plane.run(program, frame));
			expect(passed(program, result.action)).toBe(true);
			expect(reasons).toEqual({ PASS_NOT_SERVICE: 1 });
		}
	});
});
