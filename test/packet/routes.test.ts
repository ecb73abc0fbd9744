/**
 * Routes decide the place of a backend, the source of its flow and its path. The place from the API
 * decides only without an answer from the routes.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { DeviceRole } from '../../agent/bpf/devices.ts';
import { RouteMaps } from '../../agent/bpf/route-maps.ts';
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
	NODEPORT,
	TARGET_PORT,
} from './shape.ts';

const xdp = program('ml_xdp');
const fromNetdev = program('ml_from_netdev');
const fromPod = program('ml_from_pod');

/**
 * Places of backends, with a NodePort for each. `flagged`: the backend has the flag for this node.
 */
const PLACES = ['local', 'remote', 'otherDevice', 'noRoute', 'node'] as const;
type Place = (typeof PLACES)[number];
const portOf = (place: Place, flagged: boolean) => NODEPORT + PLACES.indexOf(place) * 2 + Number(flagged);

function serve(plane: Dataplane): void {
	for (const { family, proto } of CASES)
		for (const place of PLACES)
			for (const flagged of [false, true])
				plane.services.add({
					proto,
					frontends: [{ address: ADDR[family].node, port: portOf(place, flagged) }],
					backends: [{ address: ADDR[family][place], port: TARGET_PORT, local: flagged }],
				});
}

const first = ({ family, proto }: Case, place: Place, flagged: boolean): Uint8Array => {
	const { client, node } = ADDR[family];
	return frameOf({ proto, src: client, dst: node, sport: 4000, dport: portOf(place, flagged), flags: 'S' });
};

/** The kinds of devices, as deviceRoles() returns them. */
const KINDS = {
	uplink: { uplink: true, inner: false },
	inner: { uplink: false, inner: true },
	both: { uplink: true, inner: true },
} as const;

class Roles {
	readonly #plane: Dataplane;
	readonly #maps: RouteMaps;

	constructor(plane: Dataplane) {
		this.#plane = plane;
		this.#maps = new RouteMaps(plane.objects);
	}

	set(devices: Readonly<Record<string, Partial<DeviceRole>>>, local: readonly string[] = []): void {
		const roles = Object.entries(devices).map(([dev, role]) => ({
			...{ index: this.#plane.ifindex(dev), uplink: false, inner: false, served: true, sources: {} },
			...role,
		}));
		this.#maps.write(roles, local.map(localRoute), NO_RULES);
	}
}

describe('where a new flow’s backend is', () => {
	let plane: Dataplane;
	let roles: Roles;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpr');
		serve(plane);
		roles = new Roles(plane);
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	/** Runs the first packet of a flow through XDP, then TC, and checks both verdicts. */
	const expectPlace = (one: Case, place: Place, flagged: boolean, want: 'here' | 'away') => {
		const frame = first(one, place, flagged);
		const early = plane.counting(() => plane.run(xdp, frame));
		if (want === 'here' || flagged) {
			expect(early.reasons).toEqual({ PASS_LOCAL: 1 });
			expectSameBytes(early.result.bytes, frame);
		} else expect(redirected(xdp, early.result.action)).toBe(true);
		plane.clear();
		const { result, reasons } = plane.counting(() => plane.run(fromNetdev, frame));
		expect(reasons).toEqual({ [want === 'here' ? 'TO_LOCAL' : 'TO_REMOTE']: 1, CONN_NEW: 1 });
		const { client, node } = ADDR[one.family];
		expect(decode(result.bytes).ip!.src).toBe(want === 'here' ? client : node);
		plane.clear();
	};

	it.each(CASES)('$proto IP$family: by a pod’s device it is here, whatever the API says', (one) => {
		roles.set({ pod0: KINDS.inner, up0: KINDS.uplink });
		for (const flagged of [false, true]) expectPlace(one, 'local', flagged, 'here');
	});

	it.each(CASES)(
		'$proto IP$family: by an uplink it is away, whatever the API says (macvlan, SR-IOV)',
		(one) => {
			roles.set({ pod0: KINDS.inner, up0: KINDS.uplink });
			for (const flagged of [false, true]) expectPlace(one, 'remote', flagged, 'away');
		},
	);

	it.each(CASES)('$proto IP$family: by a bridge of both, or an unknown device, the API decides', (one) => {
		for (const devices of [{ up0: KINDS.both, pod0: KINDS.both }, {}]) {
			roles.set(devices);
			for (const place of ['remote', 'local'] as const) {
				expectPlace(one, place, true, 'here');
				const { reasons } = plane.counting(() => plane.run(fromNetdev, first(one, place, false)));
				expect(reasons).toMatchObject({ TO_REMOTE: 1 });
				plane.clear();
			}
		}
	});

	it.each(CASES)(
		'$proto IP$family: what a local route delivers is here, the node’s own address too',
		(one) => {
			const { node, noRoute } = ADDR[one.family];
			const prefix = one.family === 'v4' ? '10.245.0.0/16' : 'fd00:245::/32';
			plane.net.ip('dut', `route add local ${prefix} dev up0`);
			try {
				roles.set({ up0: KINDS.uplink }, [`${node}/${one.family === 'v4' ? 32 : 128}`, prefix]);
				for (const flagged of [false, true]) {
					expectPlace(one, 'noRoute', flagged, 'here');
					expectPlace(one, 'node', flagged, 'here');
				}
				expect(noRoute).not.toBe(node);
			} finally {
				plane.net.ip('dut', `route del local ${prefix} dev up0`);
				roles.set({});
			}
		},
	);

	it.each(CASES)(
		'$proto IP$family: what no route reaches is dropped, and what waits for one is not lost',
		(one) => {
			roles.set({ up0: KINDS.uplink });
			const frame = first(one, 'noRoute', false);
			const { reasons } = plane.counting(() => plane.run(fromNetdev, frame));
			expect(reasons).toMatchObject({ DROP_NO_ROUTE: 1 });
			const { noRoute, node } = ADDR[one.family];
			const via = one.family === 'v4' ? '192.168.10.12' : 'fd00:10::12';
			plane.net.ip('dut', `route add ${noRoute} via ${via}`);
			try {
				const later = plane.counting(() => plane.run(fromNetdev, frame));
				expect(later.reasons).toEqual({ TO_REMOTE: 1 });
				expect(decode(later.result.bytes).ip!.src).toBe(node);
			} finally {
				plane.net.ip('dut', `route del ${noRoute}`);
			}
		},
	);

	it.each(CASES)('$proto IP$family: a pod that was taken for remote answers as the frontend (B6)', (one) => {
		roles.set({});
		const { client, node, local } = ADDR[one.family];
		const { bytes } = plane.run(fromNetdev, first(one, 'local', false));
		const sent = decode(bytes);
		expect(sent.ip).toMatchObject({ src: node, dst: local });
		const { sport: dport } = (sent.tcp ?? sent.udp)!;
		const reply = frameOf({
			proto: one.proto,
			src: local,
			dst: node,
			sport: TARGET_PORT,
			dport,
			flags: 'SA',
		});
		const { result, reasons } = plane.counting(() => plane.run(fromPod, reply));
		expect(reasons).toEqual({ TO_CLIENT: 1 });
		expect(redirected(fromPod, result.action)).toBe(true);
		const back = decode(result.bytes);
		expect(back.ip).toMatchObject({ src: node, dst: client });
		expect(back.tcp ?? back.udp).toMatchObject({ sport: portOf('local', false), dport: 4000 });
		expect(back.faults).toEqual([]);
	});
});

describe.each([
	{ title: 'the kernel', rodata: { have_fib_src: 1, have_fib_skip_neigh: 1 } },
	{ title: 'the agent', rodata: { have_fib_src: 0 } },
])('the source of what leaves, as $title tells it', ({ rodata }) => {
	let plane: Dataplane;
	let roles: Roles;
	beforeAll(async () => {
		plane = await Dataplane.open('mlps', rodata);
		serve(plane);
		roles = new Roles(plane);
		for (const dev of ['up0', 'up1']) plane.xdpDevice(dev, true);
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	const sourceOf = (family: FamilyName, hook = fromNetdev) => {
		plane.clear();
		const { bytes, action } = plane.run(hook, first({ family, proto: 'udp' }, 'otherDevice', false));
		expect(redirected(hook, action)).toBe(true);
		return decode(bytes).ip!.src;
	};

	it.each(FAMILIES)('is the way’s own over IP%s', (family) => {
		const { node20 } = ADDR[family];
		roles.set({ up1: { ...KINDS.uplink, sources: { 4: ADDR.v4.node20, 6: ADDR.v6.node20 } } });
		for (const hook of [xdp, fromNetdev]) expect(sourceOf(family, hook)).toBe(node20);
	});

	it.each(FAMILIES)('is the node’s over IP%s where answers to another would not be seen', (family) => {
		const sources = { 4: ADDR.v4.node20, 6: ADDR.v6.node20 };
		for (const devices of [{ up1: { ...KINDS.uplink, served: false, sources } }, {}]) {
			roles.set(devices);
			for (const hook of [xdp, fromNetdev]) expect(sourceOf(family, hook)).toBe(ADDR[family].node);
		}
	});

	it.each(FAMILIES)('is what the route names over IP%s', (family) => {
		roles.set({ up1: { ...KINDS.uplink, sources: { 4: ADDR.v4.node, 6: ADDR.v6.node } } });
		const { otherDevice, node } = ADDR[family];
		const via = family === 'v4' ? '192.168.20.13' : 'fd00:20::13';
		plane.net.ip('dut', `route add ${otherDevice} via ${via} src ${node}`);
		try {
			for (const hook of [xdp, fromNetdev]) expect(sourceOf(family, hook)).toBe(node);
		} finally {
			plane.net.ip('dut', `route del ${otherDevice}`);
		}
	});
});

describe('rules of policy routing', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpm', { have_fib_mark: 1 });
		serve(plane);
		plane.net.ip(
			'dut',
			'rule add fwmark 7 lookup 100',
			'route add prohibit 10.244.2.0/24 table 100',
			'route add prohibit fd00:244:2::/64 table 100',
			'rule add from 192.168.10.11 lookup 200',
			'route add prohibit 10.244.3.0/24 table 200',
			'route add prohibit fd00:244:3::/64 table 200',
		);
		for (const rule of ['fwmark 7 lookup 100', 'from fd00:10::11 lookup 200'])
			plane.net.exec('dut', 'ip', '-6', 'rule', 'add', ...rule.split(' '));
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	it.each(FAMILIES)('see the packet’s mark over IP%s', (family) => {
		const frame = first({ family, proto: 'udp' }, 'remote', false);
		const ways = [0, 7, 8].map((mark) => {
			plane.clear();
			return plane.counting(() => plane.run(fromNetdev, frame, { mark })).reasons;
		});
		expect(ways).toEqual([
			expect.objectContaining({ TO_REMOTE: 1 }),
			expect.objectContaining({ DROP_NO_ROUTE: 1 }),
			expect.objectContaining({ TO_REMOTE: 1 }),
		]);
	});

	it.each(FAMILIES)('see the translated source over IP%s', (family) => {
		const frame = first({ family, proto: 'udp' }, 'otherDevice', false);
		expect(passed(xdp, plane.run(xdp, frame).action)).toBe(true);
		const { reasons } = plane.counting(() => plane.run(fromNetdev, frame));
		expect(reasons).toMatchObject({ DROP_NO_ROUTE: 1 });
	});
});
