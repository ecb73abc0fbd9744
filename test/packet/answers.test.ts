/**
 * Tests the answers of the programs on behalf of a Service: their rate, and sources that get none.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AnswerKind, FrontendFlag, FrontendScope, ServiceAddressFlag } from '../../agent/abi/layout.ts';
import { packet } from './builder.ts';
import { Dataplane, dropped, type Program, passed, program } from './fixture.ts';
import { expectSameBytes } from './hexdump.ts';
import {
	ADDR,
	CASES,
	FAMILIES,
	type FamilyName,
	frameOf,
	NODEPORT,
	SERVICE_PORT,
	type Shape,
} from './shape.ts';

const fromNetdev = program('ml_from_netdev');
const fromPod = program('ml_from_pod');
const HOOKS = [
	{ hook: fromNetdev, client: 'client' },
	{ hook: fromPod, client: 'local' },
] as const;
const MATRIX = HOOKS.flatMap((one) => CASES.map((row) => ({ ...one, ...row, name: one.hook.name })));
type Row = (typeof MATRIX)[number];

/** bpf/config.h: answer_rate, answer_burst. */
const RATE = 1000;
const BURST = 200;
const FLOOD = 3000;
const MARTIANS = {
	v4: ['127.0.0.1', '0.0.0.0', '224.0.0.1', '239.1.2.3', '255.255.255.255'],
	v6: ['::1', '::', 'ff02::1', 'ff0e::1234'],
} as const;
/** Addresses of a load balancer, with and without a backend. */
const LB = { v4: '203.0.113.50', v6: '2001:db8:50::1' } as const;

describe('answers', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp', { answer_echo: 1 });
		for (const { family, proto } of CASES) {
			const { node, clusterIp } = ADDR[family];
			const scope = FrontendScope.INTERNAL;
			plane.services.add({
				proto,
				frontends: [
					{ address: node, port: NODEPORT },
					{ address: clusterIp, port: SERVICE_PORT, scope },
					{ address: LB[family], port: SERVICE_PORT, flags: FrontendFlag.LOADBALANCER },
					{ address: LB[family], port: SERVICE_PORT, scope, flags: FrontendFlag.LOADBALANCER },
				],
				backends: [],
			});
			const usable = ServiceAddressFlag.USABLE_EXTERNAL | ServiceAddressFlag.USABLE_INTERNAL;
			plane.services.address(clusterIp, ServiceAddressFlag.CLUSTERIP | usable);
			plane.services.address(LB[family], usable);
		}
	});
	afterAll(() => plane?.close());

	const refused = ({ hook, client, family, proto }: Row, changes: Partial<Shape> = {}): Shape => {
		const { [client]: src, node, clusterIp } = ADDR[family];
		const [dst, dport] = hook === fromPod ? [clusterIp, SERVICE_PORT] : [node, NODEPORT];
		return { proto, src, dst, sport: 4000, dport, flags: 'S', ...changes };
	};
	const ping = (family: FamilyName, src: string, dst: string = ADDR[family].clusterIp) => {
		const ip = packet().eth().ip({ src, dst });
		return (family === 'v4' ? ip.icmp({ type: 8 }) : ip.icmp6({ type: 128 })).payload('ping').bytes();
	};
	/** Sends one frame repeatedly. @returns the reasons counted, and the elapsed seconds */
	const flood = (hook: Program, frame: Uint8Array, count = FLOOD) => {
		const begin = performance.now();
		const { reasons } = plane.counting(() => {
			for (let i = 0; i < count; i++) plane.run(hook, frame);
		});
		return { reasons, seconds: (performance.now() - begin) / 1000 };
	};
	/** The maximum number of answers. The test may run on two CPUs, which have separate budgets. */
	const most = (seconds: number) => 2 * (BURST + RATE * seconds + 1);

	it.each(MATRIX)('$name refuses a flood of $proto IP$family at a rate', async (row) => {
		await sleep(250);
		const { reasons, seconds } = flood(row.hook, frameOf(refused(row)));
		const answered = reasons['REJECT_NO_BACKEND'] ?? 0;
		expect(answered).toBeGreaterThanOrEqual(BURST);
		expect(answered).toBeLessThanOrEqual(most(seconds));
		expect(reasons['DROP_RATE']).toBe(FLOOD - answered);
		// the budget refills after a moment
		await sleep(50);
		const later = flood(row.hook, frameOf(refused(row)), 5);
		expect(later.reasons).toEqual({ REJECT_NO_BACKEND: 5 });
	});

	it.each(FAMILIES)('IP%s: one kind of answer does not use up another’s', async (family) => {
		await sleep(250);
		const row = MATRIX.find((one) => one.family === family)!;
		flood(row.hook, frameOf(refused(row)));
		const echo = flood(row.hook, ping(family, ADDR[family].client));
		expect(echo.reasons['ECHO']).toBeGreaterThanOrEqual(BURST);
		expect(echo.reasons['ECHO']).toBeLessThanOrEqual(most(echo.seconds));
		expect(echo.reasons['DROP_RATE']).toBe(FLOOD - echo.reasons['ECHO']!);
		expect(Object.keys(AnswerKind)).toEqual(['REFUSAL', 'TOO_BIG', 'ECHO', 'KINDS']);
	});

	it('a packet that is dropped without an answer takes nothing of the rate', async () => {
		await sleep(250);
		for (const row of MATRIX.filter(({ proto }) => proto === 'tcp')) {
			const reset = flood(row.hook, frameOf(refused(row, { flags: 'R' })), 1000);
			expect(reset.reasons).toEqual({ REJECT_NO_BACKEND: 1000 });
			const martian = flood(row.hook, frameOf(refused(row, { src: MARTIANS[row.family][0] })), 1000);
			expect(martian.reasons).toEqual({ DROP_MARTIAN: 1000 });
		}
		const [row] = MATRIX;
		expect(flood(row!.hook, frameOf(refused(row!)), 100).reasons).toEqual({ REJECT_NO_BACKEND: 100 });
	});

	const expectDropped = (hook: Program, frame: Uint8Array) => {
		const { result, reasons } = plane.counting(() => plane.run(hook, frame));
		expect(dropped(hook, result.action)).toBe(true);
		expect(reasons).toEqual({ DROP_MARTIAN: 1 });
	};

	it.each(MATRIX)('$name answers nobody who cannot have sent $proto IP$family', (row) => {
		const { family, hook } = row;
		const { clusterIp } = ADDR[family];
		for (const [dst, dport] of [
			[clusterIp, SERVICE_PORT],
			[clusterIp, 9999],
			[LB[family], SERVICE_PORT],
			...(hook === fromNetdev ? [[LB[family], 9999] as const] : []),
		] as const)
			for (const src of [...MARTIANS[family], dst])
				expectDropped(hook, frameOf(refused(row, { src, dst, dport, sport: dport })));
	});

	it.each(HOOKS.flatMap((one) => FAMILIES.map((family) => ({ ...one, family, name: one.hook.name }))))(
		'$name answers no echo to them over IP$family',
		({ hook, family }) => {
			const { clusterIp } = ADDR[family];
			for (const src of [...MARTIANS[family], clusterIp]) expectDropped(hook, ping(family, src));
		},
	);

	it.each(HOOKS.map((one) => ({ ...one, name: one.hook.name })))(
		'$name leaves neighbour discovery about a service address to whom it belongs',
		({ hook, client }) => {
			for (const dst of [ADDR.v6.clusterIp, LB.v6])
				for (const type of [133, 134, 135, 136, 137]) {
					const frame = packet()
						.eth()
						.ipv6({ src: ADDR.v6[client], dst, hopLimit: 255 })
						.icmp6({ type })
						.payload(new Uint8Array(16))
						.bytes();
					const { result, reasons } = plane.counting(() => plane.run(hook, frame));
					expect(passed(hook, result.action)).toBe(true);
					expectSameBytes(result.bytes, frame);
					expect(reasons).toEqual({ PASS_PROTOCOL: 1 });
				}
			// the programs drop other messages to a ClusterIP
			const other = packet()
				.eth()
				.ipv6({ src: ADDR.v6[client], dst: ADDR.v6.clusterIp })
				.icmp6({ type: 130 });
			expect(plane.counting(() => plane.run(hook, other.bytes())).reasons).toEqual({ DROP_PROTOCOL: 1 });
		},
	);
});
