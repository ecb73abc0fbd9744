/**
 * Tests packets that only the stack can handle: to confirm a neighbour, to fragment a datagram, to
 * deliver locally.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ServiceAddressFlag } from '../../agent/abi/layout.ts';
import { RouteMaps } from '../../agent/bpf/route-maps.ts';
import { packet } from './builder.ts';
import { decode } from './decode.ts';
import { Dataplane, passed, program, redirected } from './fixture.ts';
import { expectSameBytes } from './hexdump.ts';
import { localRoute, NO_RULES } from './local-route.ts';
import {
	ADDR,
	CASES,
	type Case,
	FAMILIES,
	type FamilyName,
	frameOf,
	MAC,
	NODEPORT,
	TARGET_PORT,
} from './shape.ts';

const xdp = program('ml_xdp');
const fromNetdev = program('ml_from_netdev');

function serve(plane: Dataplane): void {
	for (const { family, proto } of CASES)
		plane.services.add({
			proto,
			frontends: [{ address: ADDR[family].node, port: NODEPORT }],
			backends: [{ address: ADDR[family].remote, port: TARGET_PORT }],
		});
}

const first = ({ family, proto }: Case): Uint8Array => {
	const { client, node } = ADDR[family];
	return frameOf({ proto, src: client, dst: node, sport: 4000, dport: NODEPORT, flags: 'S' });
};

describe('a next hop that XDP sends to', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlph', { confirm_seconds: 1 });
		serve(plane);
	});
	afterAll(() => plane?.close());

	it('is confirmed by a packet a second that goes by TC as it came', async () => {
		const frame = first({ family: 'v4', proto: 'udp' });
		const turn = () => plane.counting(() => plane.run(xdp, frame));
		for (let second = 0; second < 2; second++) {
			const { result, reasons } = turn();
			expect(passed(xdp, result.action)).toBe(true);
			expectSameBytes(result.bytes, frame);
			expect(reasons).toMatchObject({ PASS_FIB: 1 });
			expect(plane.counting(() => plane.run(fromNetdev, frame)).reasons).toEqual({ TO_REMOTE: 1 });
			for (let i = 0; i < 5; i++) expect(turn().reasons).toEqual({ TO_REMOTE: 1 });
			await new Promise((resolve) => setTimeout(resolve, 1200));
		}
	});
});

describe('a packet that is larger than its way takes', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlph');
		serve(plane);
		plane.net.ip('dut', 'route replace 10.244.2.0/24 via 192.168.10.12 mtu lock 1280');
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	const large = (dontFragment: boolean) => {
		const { client, node } = ADDR.v4;
		const eth = packet().eth({ src: MAC.client, dst: MAC.node });
		const ip = eth.ipv4({ src: client, dst: node, ttl: 64, id: 7, dontFragment });
		return ip.udp({ sport: 4000, dport: NODEPORT }).payload(new Uint8Array(1400).fill(7)).bytes();
	};

	it('is left to the stack where it may be cut up: translated, in by the loopback device', () => {
		const frame = large(false);
		expect(passed(xdp, plane.run(xdp, frame).action)).toBe(true);
		const { result, reasons } = plane.counting(() => plane.run(fromNetdev, frame));
		expect(reasons).toEqual({ TO_REMOTE: 1 });
		expect(redirected(fromNetdev, result.action)).toBe(true);
		const { eth, ip, faults } = decode(result.bytes);
		expect(eth!.dst).toBe('00:00:00:00:00:00');
		expect(ip).toMatchObject({ src: ADDR.v4.node, dst: ADDR.v4.remote, ttl: 64 });
		expect(faults).toEqual([]);
	});

	it('is answered where it may not', () => {
		const { result, reasons } = plane.counting(() => plane.run(fromNetdev, large(true)));
		expect(reasons).toMatchObject({ REJECT_TOO_BIG: 1 });
		expect(decode(result.bytes).icmp).toMatchObject({ type: 3, code: 4, rest: 1280 });
	});
});

describe('a service address that a local route delivers here', () => {
	let plane: Dataplane;
	let maps: RouteMaps;
	const prefixes = { v4: '203.0.113.0/24', v6: '2001:db8::/64' };
	beforeAll(async () => {
		plane = await Dataplane.open('mlph');
		maps = new RouteMaps(plane.objects);
		for (const family of FAMILIES) {
			plane.services.address(ADDR[family].other, ServiceAddressFlag.USABLE_EXTERNAL);
			plane.services.address(ADDR[family].clusterIp, ServiceAddressFlag.CLUSTERIP);
		}
		plane.services.serviceCidrs('10.96.0.0/16', 'fd00:10:96::/112');
	});
	afterAll(() => plane?.close());

	const reason = (hook: typeof fromNetdev, frame: Uint8Array) => {
		const { result, reasons } = plane.counting(() => plane.run(hook, frame));
		expect(Object.keys(reasons)).toHaveLength(1);
		if (passed(hook, result.action)) expectSameBytes(result.bytes, frame);
		return Object.keys(reasons)[0];
	};
	const to = ({ family, proto }: Case, dst: string) =>
		frameOf({ proto, src: ADDR[family].client, dst, sport: 4000, dport: 10_256, flags: 'S' });
	const ping = (family: FamilyName, dst: string) => {
		const ip = packet().eth({ src: MAC.client, dst: MAC.node }).ip({ src: ADDR[family].client, dst });
		return (family === 'v4' ? ip.icmp({ type: 8, code: 0 }) : ip.icmp6({ type: 128, code: 0 }))
			.payload('ping')
			.bytes();
	};

	it.each(CASES)('$proto IP$family: keeps its other ports and its pings to the node', (one) => {
		const { other } = ADDR[one.family];
		maps.write([], [], NO_RULES);
		expect(reason(fromNetdev, to(one, other))).toBe('REJECT_NO_PORT');
		expect(reason(fromNetdev, ping(one.family, other))).toBe('DROP_PROTOCOL');
		maps.write([], [localRoute(prefixes[one.family])], NO_RULES);
		expect(reason(fromNetdev, to(one, other))).toBe('PASS_NOT_SERVICE');
		expect(reason(fromNetdev, ping(one.family, other))).toBe('PASS_PROTOCOL');
	});

	it.each(CASES)('$proto IP$family: in the range of ClusterIPs too (a DNS cache of the node)', (one) => {
		const { clusterIp } = ADDR[one.family];
		const unused = one.family === 'v4' ? '10.96.0.77' : 'fd00:10:96::77';
		for (const hook of [fromNetdev, program('ml_from_pod')]) {
			maps.write([], [], NO_RULES);
			expect(reason(hook, to(one, clusterIp))).toBe('REJECT_NO_PORT');
			expect(reason(hook, to(one, unused))).toBe('DROP_NO_ADDRESS');
			maps.write(
				[],
				[clusterIp, unused].map((ip) => localRoute(`${ip}/${one.family === 'v4' ? 32 : 128}`)),
				NO_RULES,
			);
			expect(reason(hook, to(one, clusterIp))).toBe('PASS_NOT_SERVICE');
			expect(reason(hook, to(one, unused))).toBe('PASS_NOT_SERVICE');
		}
	});
});
