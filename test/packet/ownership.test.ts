/**
 * Tests the ownership of a flow and its source port: a reply reaches the client that owns the flow,
 * or is not translated. There is one source port, so that all flows compete for it. The test
 * advances time by ageing the map.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FrontendFlag } from '../../agent/abi/layout.ts';
import { decode } from './decode.ts';
import { Dataplane, dropped, passed, program, redirected } from './fixture.ts';
import {
	ADDR,
	CASES,
	type Case,
	FAMILIES,
	frameOf,
	NODEPORT,
	type Shape,
	TARGET_PORT,
	turned,
} from './shape.ts';

const PORT = 20_000;
const HZ = 10_000;
const hooks = [program('ml_xdp'), program('ml_from_netdev')];
const MATRIX = hooks.flatMap((hook) => CASES.map((one) => ({ hook, name: hook.name, ...one })));
const of = (proto: Case['proto']) => MATRIX.filter((one) => one.proto === proto);
const toNetdev = program('ml_to_netdev');

type Client = 'client' | 'client2';
const toNode = (
	{ family, proto }: Case,
	client: Client,
	flags = 'S',
	changes: Partial<Shape> = {},
): Shape => {
	const { node } = ADDR[family];
	return { proto, src: ADDR[family][client], dst: node, sport: 4000, dport: NODEPORT, flags, ...changes };
};
/** A packet from the backend to the source port. */
const fromBackend = ({ family, proto }: Case, flags = 'A'): Uint8Array => {
	const { remote, node } = ADDR[family];
	return frameOf({ proto, src: remote, dst: node, sport: TARGET_PORT, dport: PORT, flags });
};

describe('the only source port', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpo', { snat_port_min: PORT, snat_port_max: PORT, hz: HZ });
		for (const { family, proto } of CASES)
			plane.services.add({
				proto,
				frontends: [{ address: ADDR[family].node, port: NODEPORT }],
				backends: [{ address: ADDR[family].remote, port: TARGET_PORT }],
			});
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	type Hooked = Case & { hook: (typeof hooks)[number] };
	const send = ({ hook, ...one }: Hooked, client: Client, flags = 'S') => {
		const { action, bytes } = plane.run(hook, frameOf(toNode(one, client, flags)));
		return { sent: redirected(hook, action), dropped: dropped(hook, action), port: decode(bytes) };
	};
	const receiver = ({ hook, ...one }: Hooked, flags = 'A') => {
		const { action, bytes } = plane.run(hook, fromBackend(one, flags));
		return redirected(hook, action) ? decode(bytes).ip!.dst : undefined;
	};
	const seconds = (count: number) => plane.age(count * HZ + 1);
	const entry = (text: RegExp) => plane.connections().find((one) => text.test(one.text))!;
	const reverseEntry = ({ family }: Case) => entry(new RegExp(`-> ${ADDR[family].node}:${PORT}$`));

	it.each(of('udp'))(
		'$name IP$family: stays with datagrams that are never answered, as long as they come',
		(one) => {
			for (let i = 0; i < 60; i++) {
				expect(send(one, 'client').sent).toBe(true);
				seconds(5);
			}
			expect(send(one, 'client2').dropped).toBe(true);
			expect(receiver(one)).toBe(ADDR[one.family].client);
		},
	);

	it.each(MATRIX)(
		'$name $proto IP$family: once it is another’s, no packet of the first flow leaves with it',
		(one) => {
			send(one, 'client');
			plane.deleteConnection(reverseEntry(one).key);
			expect(send(one, 'client2').sent).toBe(true);
			expect(send(one, 'client', 'A').dropped).toBe(true);
			expect(receiver(one)).toBe(ADDR[one.family].client2);
			// and it stays dropped when the first client sends again a second later
			seconds(2);
			expect(send(one, 'client', 'A').dropped).toBe(true);
			expect(receiver(one)).toBe(ADDR[one.family].client2);
		},
	);

	it.each(of('tcp'))(
		'$name IP$family: is not used by the ACK of a handshake that lost it by being slow',
		(one) => {
			send(one, 'client');
			seconds(4);
			expect(send(one, 'client2').sent).toBe(true);
			const late = send(one, 'client', 'A');
			expect(late.dropped).toBe(true);
			expect(receiver(one, 'SA')).toBe(ADDR[one.family].client2);
		},
	);

	it.each(MATRIX)(
		'$name $proto IP$family: an expired flow loses both halves with it, and gets no later reply',
		(one) => {
			send(one, 'client');
			seconds(7300);
			expect(send(one, 'client2').sent).toBe(true);
			expect(plane.connections()).toHaveLength(2);
			expect(receiver(one)).toBe(ADDR[one.family].client2);
		},
	);

	it.each(of('udp'))(
		'$name IP$family: one exchange keeps it for 30 s, a stream for two minutes and more (RFC 4787 REQ-5)',
		(one) => {
			send(one, 'client');
			receiver(one);
			seconds(29);
			expect(receiver(one)).toBe(ADDR[one.family].client);
			plane.clear();
			send(one, 'client');
			receiver(one);
			seconds(30);
			expect(receiver(one)).toBeUndefined();
			plane.clear();
			send(one, 'client');
			receiver(one);
			send(one, 'client');
			seconds(121);
			expect(send(one, 'client2').dropped).toBe(true);
			expect(receiver(one)).toBe(ADDR[one.family].client);
			seconds(181);
			expect(send(one, 'client2').sent).toBe(true);
		},
	);

	it.each(of('udp'))(
		'$name IP$family: a single datagram gives it up after 3 s where there is no other',
		(one) => {
			send(one, 'client');
			seconds(2);
			expect(send(one, 'client2').dropped).toBe(true);
			seconds(2);
			expect(send(one, 'client2').sent).toBe(true);
		},
	);

	it.each(of('tcp'))(
		'$name IP$family: is not given again while the backend may be in TIME_WAIT, a minute if it closed first',
		(one) => {
			for (const [first, second, keeps] of [
				['backend', 'client', 60],
				['client', 'backend', 9],
			] as const) {
				const fin = { client: () => send(one, 'client', 'FA'), backend: () => receiver(one, 'FA') };
				send(one, 'client');
				receiver(one, 'SA');
				send(one, 'client', 'A');
				fin[first]();
				fin[second]();
				seconds(keeps);
				expect(send(one, 'client2').dropped).toBe(true);
				seconds(6);
				expect(send(one, 'client2').sent).toBe(true);
				plane.clear();
			}
		},
	);

	it.each(MATRIX)(
		'$name $proto IP$family: is not picked while it is a frontend’s, and a reply to it goes before one',
		(one) => {
			const { family, proto, hook } = one;
			const { node, remote2 } = ADDR[family];
			const spec = {
				proto,
				frontends: [{ address: node, port: PORT }],
				backends: [{ address: remote2, port: TARGET_PORT }],
			};
			const { serviceId } = plane.services.add(spec);
			expect(send(one, 'client').dropped).toBe(true);
			plane.services.withoutFrontend(spec.frontends[0]!, proto);
			expect(send(one, 'client').sent).toBe(true);
			plane.services.retarget(spec, serviceId, [plane.services.backend(spec.backends[0]!, proto)]);
			expect(receiver(one)).toBe(ADDR[family].client);
			const fresh = frameOf({ ...toNode(one, 'client2'), dport: PORT });
			const { bytes } = plane.run(hook, fresh);
			// the only source port belongs to the frontend
			expect(decode(bytes).ip!.dst).toBe(node);
			plane.services.withoutFrontend(spec.frontends[0]!, proto);
		},
	);
});

describe('two backends', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpo', { hz: HZ });
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	it.each(of('tcp'))(
		'$name IP$family: a late RST of the old one does not close the flow to the new one',
		({ hook, ...one }) => {
			const { node, remote, remote2 } = ADDR[one.family];
			const spec = {
				proto: one.proto,
				frontends: [{ address: node, port: NODEPORT }],
				backends: [remote, remote2].map((address) => ({ address, port: TARGET_PORT })),
			};
			const { serviceId, backendIds } = plane.services.add(spec);
			const syn = frameOf(toNode(one, 'client'));
			const first = decode(plane.run(hook, syn).bytes);
			const old = first.ip!.dst === remote ? 0 : 1;
			plane.services.retarget(spec, serviceId, [backendIds[1 - old]!]);
			plane.services.removeBackend(backendIds[old]!);
			const second = decode(plane.run(hook, syn).bytes).ip!.dst;
			expect(second).not.toBe(first.ip!.dst);
			const reset = {
				src: first.ip!.dst,
				dst: node,
				sport: TARGET_PORT,
				dport: first.tcp!.sport,
				flags: 'R',
			};
			plane.run(hook, frameOf({ proto: 'tcp', ...reset }));
			plane.services.retarget(spec, serviceId, [plane.services.backend(spec.backends[old]!, 'tcp')]);
			expect(decode(plane.run(hook, syn).bytes).ip!.dst).toBe(second);
		},
	);

	it.each(MATRIX)(
		'$name $proto IP$family: a stamp of another CPU after the clock was read is no age',
		({ hook, ...one }) => {
			const { node, remote, remote2 } = ADDR[one.family];
			const backends = [remote, remote2].map((address) => ({ address, port: TARGET_PORT }));
			const spec = { proto: one.proto, frontends: [{ address: node, port: NODEPORT }], backends };
			const { serviceId, backendIds } = plane.services.add(spec);
			const syn = frameOf(toNode(one, 'client'));
			const chosen = decode(plane.run(hook, syn).bytes).ip!.dst;
			plane.services.retarget(spec, serviceId, [backendIds[chosen === remote ? 1 : 0]!]);
			plane.age(-20);
			expect(decode(plane.run(hook, syn).bytes).ip!.dst).toBe(chosen);
		},
	);
});

describe('a flow that exists goes before a frontend', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpo', { hz: HZ });
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());
	const serve = ({ family, proto }: Case) => {
		const spec = {
			proto,
			frontends: [{ address: ADDR[family].node, port: NODEPORT }],
			backends: [{ address: ADDR[family].remote, port: TARGET_PORT }],
		};
		return { spec, ...plane.services.add(spec) };
	};

	it.each(MATRIX)(
		'$name $proto IP$family: the answers to what the node sends from a frontend’s port are the node’s',
		({ hook, ...one }) => {
			serve(one);
			const { node, other, client } = ADDR[one.family];
			const sent: Shape = { proto: one.proto, src: node, dst: other, sport: NODEPORT, dport: 53, flags: 'S' };
			expect(passed(toNetdev, plane.run(toNetdev, frameOf(sent)).action)).toBe(true);
			const answers = frameOf(turned(sent, { flags: 'SA' }));
			for (const wait of [0, 60, 110]) {
				plane.age(wait * HZ);
				const { result, reasons } = plane.counting(() => plane.run(hook, answers));
				expect(passed(hook, result.action)).toBe(true);
				expect(reasons).toEqual({ PASS_OWN: 1 });
			}
			// packets of other clients to the port belong to the Service
			const begun = frameOf({ ...turned(sent, { flags: 'S' }), src: client, sport: 4000 });
			expect(redirected(hook, plane.run(hook, begun).action)).toBe(true);
		},
	);

	it.each(of('tcp'))(
		'$name IP$family: a connection outlives its Service, a new one does not begin',
		({ hook, ...one }) => {
			const { spec, serviceId } = serve(one);
			plane.run(hook, frameOf(toNode(one, 'client')));
			const rest = { serviceId, table: 0, tableSize: 0, backends: 0, affinitySeconds: 0 };
			plane.services.frontend({ ...spec.frontends[0]!, flags: FrontendFlag.ENDED }, 'tcp', rest);
			expect(redirected(hook, plane.run(hook, frameOf(toNode(one, 'client', 'PA'))).action)).toBe(true);
			for (const flags of ['S', 'A'])
				expect(passed(hook, plane.run(hook, frameOf(toNode(one, 'client2', flags))).action)).toBe(true);
			// Another Service gets the port, and the connection stays with its backend
			const { backendIds } = plane.services.add({
				...spec,
				backends: [{ address: ADDR[one.family].remote2, port: TARGET_PORT }],
			});
			expect(backendIds).toHaveLength(1);
			const later = decode(plane.run(hook, frameOf(toNode(one, 'client', 'PA'))).bytes);
			expect(later.ip!.dst).toBe(ADDR[one.family].remote);
		},
	);

	it.each(of('udp'))('$name IP$family: UDP goes to the Service that has the port now', ({ hook, ...one }) => {
		const { remote2, remote } = ADDR[one.family];
		const send = () => decode(plane.run(hook, frameOf(toNode(one, 'client'))).bytes).ip!.dst;
		for (const earlier of [1, 3]) {
			const { spec } = serve(one);
			for (let sent = 0; sent < earlier; sent++) expect(send()).toBe(remote);
			plane.services.add({ ...spec, backends: [{ address: remote2, port: TARGET_PORT }] });
			for (let sent = 0; sent < 3; sent++) expect(send()).toBe(remote2);
			plane.services.withoutFrontend(spec.frontends[0]!, 'udp');
			const gone = plane.run(hook, frameOf(toNode(one, 'client')));
			expect(passed(hook, gone.action)).toBe(true);
		}
	});

	it.each(FAMILIES)('IP%s: a packet that a program has redirected is no flow of the node’s own', (family) => {
		const one: Case = { family, proto: 'udp' };
		serve(one);
		const fromNetdev = program('ml_from_netdev');
		const { bytes } = plane.run(fromNetdev, frameOf(toNode(one, 'client')));
		const back = turned({ ...toNode(one, 'client'), src: ADDR[family].node, dst: ADDR[family].remote });
		const reply = frameOf({ ...back, sport: TARGET_PORT, dport: decode(bytes).udp!.sport });
		const answered = plane.run(fromNetdev, reply);
		expect(redirected(fromNetdev, answered.action)).toBe(true);
		// the egress hook sees the redirected packet, but the client's half exists, so it adds no entry
		plane.run(toNetdev, answered.bytes);
		expect(plane.connections()).toHaveLength(2);
	});
});
