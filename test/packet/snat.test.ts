import { closeSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { decode } from './decode.ts';
import { Dataplane, dropped, passed, program, redirected } from './fixture.ts';
import { ADDR, CASES, type Case, frameOf, NODEPORT, SNAT_MAX, SNAT_MIN, TARGET_PORT } from './shape.ts';

const xdp = program('ml_xdp');
const fromNetdev = program('ml_from_netdev');

const sourcePort = (bytes: Uint8Array): number => {
	const { tcp, udp } = decode(bytes);
	return (tcp ?? udp)!.sport;
};

function serve(plane: Dataplane): void {
	for (const { family, proto } of CASES) {
		const { node, remote } = ADDR[family];
		plane.services.add({
			proto,
			frontends: [{ address: node, port: NODEPORT }],
			backends: [{ address: remote, port: TARGET_PORT }],
		});
	}
}

const first = ({ family, proto }: Case, sport: number): Uint8Array => {
	const { client, node } = ADDR[family];
	return frameOf({ proto, src: client, dst: node, sport, dport: NODEPORT, flags: 'S' });
};

describe('source ports of flows to another node', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlps');
		serve(plane);
	});
	afterAll(() => plane?.close());

	it.each(CASES)('10 000 $proto IP$family flows to one backend have a port each (F-35, F R-4)', (one) => {
		const chosen = new Set<number>();
		for (let i = 0; i < 10_000; i++) {
			const frame = first(one, 20_000 + i);
			// XDP takes one checksum in 65536 for a partial one and leaves the packet to TC
			const hook = passed(xdp, plane.run(xdp, frame).action) ? fromNetdev : xdp;
			const { action, bytes } = plane.run(hook, frame);
			expect(redirected(hook, action)).toBe(true);
			chosen.add(sourcePort(bytes));
		}
		expect(chosen.size).toBe(10_000);
		for (const port of chosen) {
			expect(port).toBeGreaterThanOrEqual(SNAT_MIN);
			expect(port).toBeLessThanOrEqual(SNAT_MAX);
		}
		plane.clear();
	});
});

describe('a port that a socket of the node holds', () => {
	const HELD = 20_000;
	const FREE = 20_001;
	let plane: Dataplane;
	const sockets: number[] = [];
	beforeAll(async () => {
		plane = await Dataplane.open('mlps', { snat_port_min: HELD, snat_port_max: FREE });
		serve(plane);
		using switcher = new NetnsSwitcher();
		const namespace = plane.net.name('dut');
		sockets.push(switcher.listenTcp(namespace, HELD), switcher.bindUdp(namespace, HELD));
	});
	afterAll(() => {
		for (const fd of sockets) closeSync(fd);
		plane?.close();
	});

	it.each([xdp, fromNetdev].flatMap((hook) => CASES.map((one) => ({ hook, name: hook.name, ...one }))))(
		'$name never takes it for $proto IP$family',
		({ hook, ...one }) => {
			const chosen: number[] = [];
			for (let i = 0; i < 60; i++) {
				const { action, bytes } = plane.run(hook, first(one, 30_000 + i));
				if (redirected(hook, action)) chosen.push(sourcePort(bytes));
				else expect(dropped(hook, action)).toBe(true);
			}
			expect(chosen).toEqual([FREE]);
			plane.clear();
		},
	);
});
