/**
 * Tests the lifetime of flows, and flows in use during a flood of new ones. The variable hz
 * shortens a second, so that hours take moments.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { measureHz } from '../../agent/bpf/probe.ts';
import { decode } from './decode.ts';
import { Dataplane, dropped, passed, program, redirected } from './fixture.ts';
import type { Written } from './services.ts';
import {
	ADDR,
	type Case,
	FAMILIES,
	type FamilyName,
	frameOf,
	NODEPORT,
	type Shape,
	TARGET_PORT,
	turned,
} from './shape.ts';

const HOOKS = [program('ml_xdp'), program('ml_from_netdev')];
const TCP = HOOKS.flatMap((hook) => FAMILIES.map((family) => ({ hook, name: hook.name, family })));

const toNode = (family: FamilyName, changes: Partial<Shape> = {}): Shape => {
	const { client, node } = ADDR[family];
	return { proto: 'tcp', src: client, dst: node, sport: 4000, dport: NODEPORT, flags: 'S', ...changes };
};
const left = (bytes: Uint8Array) => {
	const { ip, tcp, udp } = decode(bytes);
	return { backend: ip!.dst, source: ip!.src, port: (tcp ?? udp)!.sport };
};

/**
 * Adds a NodePort with two backends on other nodes.
 * @returns functions that take backends out of the table
 */
function service(plane: Dataplane, { family, proto }: Case) {
	const { node, remote, remote2 } = ADDR[family];
	const addresses: readonly string[] = [remote, remote2];
	const backends = addresses.map((address) => ({ address, port: TARGET_PORT }));
	const spec = { proto, frontends: [{ address: node, port: NODEPORT }], backends };
	const written: Written = plane.services.add(spec);
	const without = (...gone: string[]) => {
		const ids = written.backendIds.filter((_, i) => !gone.includes(addresses[i]!));
		plane.services.retarget(spec, written.serviceId, ids);
	};
	const remove = (...gone: string[]) => {
		without(...gone);
		written.backendIds.forEach((id, i) => {
			if (gone.includes(addresses[i]!)) plane.services.removeBackend(id);
		});
	};
	return { spec, written, without, remove };
}

/** The backend's reply to `first`, the packet that left for it. */
function answer(sent: Shape, first: Uint8Array, flags: string): Uint8Array {
	const { backend, source, port } = left(first);
	return frameOf({ ...turned(sent), src: backend, dst: source, sport: TARGET_PORT, dport: port, flags });
}

describe('how long a flow is remembered', () => {
	let plane: Dataplane;
	/** Length of a program second in milliseconds, 8 to 10. */
	let second: number;
	beforeAll(async () => {
		const hz = await measureHz(openNative('koffi'));
		const jiffies = Math.floor(hz / 100);
		second = (jiffies * 1000) / hz;
		// timeout_tcp is a hundredth of the real one, so 36 seconds represent an hour
		const timeouts = { timeout_tcp_syn: 20, timeout_tcp: 72, timeout_tcp_closed: 10, timeout_udp: 30 };
		plane = await Dataplane.open('mlpp', { hz: jiffies, ...timeouts });
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());
	const HOUR = 36;

	it.each(TCP)(
		'$name IP$family: a SYN that nobody answered, for 20 s (F-21, F R-5)',
		async ({ hook, family }) => {
			const { without } = service(plane, { family, proto: 'tcp' });
			const syn = frameOf(toNode(family));
			const { backend } = left(plane.run(hook, syn).bytes);
			without(backend);
			expect(left(plane.run(hook, syn).bytes).backend).toBe(backend);
			await sleep(22 * second);
			expect(left(plane.run(hook, syn).bytes).backend).not.toBe(backend);
		},
	);

	it.each(TCP)('$name IP$family: an established connection, for longer (F-21)', async ({ hook, family }) => {
		const { without } = service(plane, { family, proto: 'tcp' });
		const { backend } = left(plane.run(hook, frameOf(toNode(family))).bytes);
		plane.run(hook, frameOf(toNode(family, { flags: 'A' })));
		without(backend);
		await sleep(22 * second);
		expect(left(plane.run(hook, frameOf(toNode(family))).bytes).backend).toBe(backend);
	});

	it.each(TCP)(
		'$name IP$family: one that both sides have closed, for 10 s (F-21)',
		async ({ hook, family }) => {
			const { without } = service(plane, { family, proto: 'tcp' });
			const first = plane.run(hook, frameOf(toNode(family))).bytes;
			const { backend } = left(first);
			plane.run(hook, answer(toNode(family), first, 'SA'));
			plane.run(hook, frameOf(toNode(family, { flags: 'FA' })));
			plane.run(hook, answer(toNode(family), first, 'FA'));
			without(backend);
			// the backend still gets the last ACK, but no new SYN
			expect(left(plane.run(hook, frameOf(toNode(family, { flags: 'A' }))).bytes).backend).toBe(backend);
			expect(left(plane.run(hook, frameOf(toNode(family))).bytes).backend).not.toBe(backend);
		},
	);

	it.each(TCP)(
		'$name IP$family: one that one side has closed, for an hour and more (A-66)',
		async ({ hook, family }) => {
			for (const closer of ['client', 'backend'] as const) {
				plane.clear();
				const { without } = service(plane, { family, proto: 'tcp' });
				const first = plane.run(hook, frameOf(toNode(family))).bytes;
				const { backend } = left(first);
				plane.run(hook, answer(toNode(family), first, 'SA'));
				plane.run(hook, frameOf(toNode(family, { flags: 'A' })));
				if (closer === 'client') plane.run(hook, frameOf(toNode(family, { flags: 'FA' })));
				else plane.run(hook, answer(toNode(family), first, 'FA'));
				without(backend);
				await sleep(HOUR * second);
				const reply = plane.run(hook, answer(toNode(family), first, 'PA'));
				expect(redirected(hook, reply.action)).toBe(true);
				expect(left(reply.bytes)).toMatchObject({ source: ADDR[family].node, port: NODEPORT });
				// not a new flow, because a SYN would reach another backend
				expect(left(plane.run(hook, frameOf(toNode(family))).bytes).backend).toBe(backend);
			}
		},
	);
});

describe('the source port of a flow to another node, where there is one only', () => {
	let plane: Dataplane;
	let second: number;
	const PORT = 10_300;
	beforeAll(async () => {
		const hz = await measureHz(openNative('koffi'));
		const jiffies = Math.floor(hz / 100);
		second = (jiffies * 1000) / hz;
		plane = await Dataplane.open('mlpp', { hz: jiffies, snat_port_min: PORT, snat_port_max: PORT });
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());
	/** Adds one backend, so that both clients need the same port. */
	const start = (family: FamilyName) => {
		const { node, remote } = ADDR[family];
		const backends = [{ address: remote, port: TARGET_PORT }];
		plane.services.add({ proto: 'tcp', frontends: [{ address: node, port: NODEPORT }], backends });
	};
	const other = (family: FamilyName) => frameOf(toNode(family, { src: ADDR[family].client2 }));

	it.each(TCP)(
		'$name IP$family: is kept by a connection on which nobody has said anything yet (F R-4, F R-5)',
		async ({ hook, family }) => {
			start(family);
			const first = plane.run(hook, frameOf(toNode(family))).bytes;
			expect(left(first).port).toBe(PORT);
			plane.run(hook, answer(toNode(family), first, 'SA'));
			plane.run(hook, frameOf(toNode(family, { flags: 'A' })));
			await sleep(30 * second);
			const { result, reasons } = plane.counting(() => plane.run(hook, other(family)));
			expect(dropped(hook, result.action)).toBe(true);
			expect(reasons).toEqual({ DROP_NO_PORT: 1 });
			const reply = plane.run(hook, answer(toNode(family), first, 'PA'));
			expect(decode(reply.bytes).ip!.dst).toBe(ADDR[family].client);
		},
	);

	it.each(TCP)(
		'$name IP$family: is taken from a handshake that nobody has completed for seconds (F R-4)',
		async ({ hook, family }) => {
			start(family);
			plane.run(hook, frameOf(toNode(family)));
			expect(dropped(hook, plane.run(hook, other(family)).action)).toBe(true);
			await sleep(5 * second);
			const { action, bytes } = plane.run(hook, other(family));
			expect(redirected(hook, action)).toBe(true);
			expect(left(bytes).port).toBe(PORT);
		},
	);
});

describe('UDP when backends go and come', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());
	const datagram = (family: FamilyName) => frameOf(toNode(family, { proto: 'udp' }));
	const fromNetdev = program('ml_from_netdev');

	it.each(FAMILIES)(
		'IP%s: the last one gone, the flow is refused at once; the first one there, served at once (B R-10, B-70)',
		(family) => {
			const { spec, written, remove } = service(plane, { family, proto: 'udp' });
			plane.run(fromNetdev, datagram(family));
			const { remote, remote2 } = ADDR[family];
			remove(remote, remote2);
			for (let i = 0; i < 2; i++) {
				const { reasons } = plane.counting(() => plane.run(fromNetdev, datagram(family)));
				expect(reasons).toEqual({ REJECT_NO_BACKEND: 1 });
			}
			const id = plane.services.backend({ address: remote2, port: TARGET_PORT }, 'udp');
			plane.services.retarget(spec, written.serviceId, [id]);
			const { action, bytes } = plane.run(fromNetdev, datagram(family));
			expect(redirected(fromNetdev, action)).toBe(true);
			expect(left(bytes).backend).toBe(remote2);
		},
	);
});

describe('a TCP packet of a flow that is not known', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	it.each(TCP)(
		'$name IP$family: goes where its SYN went, so that a lost entry or another node does not end the flow (F R-5)',
		({ hook, family }) => {
			service(plane, { family, proto: 'tcp' });
			for (let sport = 20_000; sport < 20_020; sport++) {
				const first = left(plane.run(hook, frameOf(toNode(family, { sport }))).bytes);
				plane.clear();
				const later = frameOf(toNode(family, { sport, flags: 'PA' }));
				const { result, reasons } = plane.counting(() => plane.run(hook, later));
				expect(left(result.bytes)).toEqual(first);
				expect(reasons).toEqual({ TO_REMOTE: 1, CONN_RESUMED: 1 });
			}
		},
	);

	it.each(FAMILIES)('IP%s: is reset where no backend is left', (family) => {
		const { remove } = service(plane, { family, proto: 'tcp' });
		remove(ADDR[family].remote, ADDR[family].remote2);
		const hook = program('ml_from_netdev');
		const { bytes } = plane.run(hook, frameOf(toNode(family, { flags: 'PA', ack: 77 })));
		expect(decode(bytes).tcp).toMatchObject({ flags: 'R', seq: 77, sport: NODEPORT, dport: 4000 });
	});
});

describe('a flood of SYNs', () => {
	/** Half as many flows fit, with two entries each. */
	const ENTRIES = 4096;
	const FLOOD = 4 * ENTRIES;
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp', {}, { connections: ENTRIES });
	});
	afterAll(() => plane?.close());

	it.each(TCP)(
		'$name IP$family: eight times what there is room for leaves a flow that is in use as it is (F R-5)',
		({ hook, family }) => {
			service(plane, { family, proto: 'tcp' });
			const first = plane.run(hook, frameOf(toNode(family))).bytes;
			const want = left(first);
			const [net, base, radix] = family === 'v4' ? ['192.168.10.', 120, 10] : ['fd00:10::2:', 0, 16];
			let seen = 0;
			const { reasons } = plane.counting(() => {
				for (let i = 0; i < FLOOD; i++) {
					const src = `${net}${(base + (i >> 14)).toString(radix)}`;
					const { action } = plane.run(hook, frameOf(toNode(family, { src, sport: 10_000 + (i & 0x3fff) })));
					expect(passed(hook, action)).toBe(false);
					expect(dropped(hook, action)).toBe(false);
					if (i % 256 > 0) continue;
					expect(left(plane.run(hook, frameOf(toNode(family, { flags: 'PA' }))).bytes)).toEqual(want);
					const reply = plane.run(hook, answer(toNode(family), first, 'PA'));
					expect(left(reply.bytes)).toMatchObject({ source: ADDR[family].node, port: NODEPORT });
					seen++;
				}
			});
			expect(seen).toBe(FLOOD / 256);
			expect(reasons['CONN_RESUMED'] ?? 0).toBe(0);
			expect(plane.connections().length).toBeLessThanOrEqual(ENTRIES);
		},
	);
});
