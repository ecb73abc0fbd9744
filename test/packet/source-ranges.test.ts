import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FrontendFlag, FrontendScope } from '../../agent/abi/layout.ts';
import { decode } from './decode.ts';
import { Dataplane, dropped, program } from './fixture.ts';
import { ADDR, CASES, type Case, frameOf, NODEPORT, SERVICE_PORT, type Shape, TARGET_PORT } from './shape.ts';

/** Addresses of load balancers, the clients of B-06, and a neighbour of a pod in a range. */
const LB = {
	v4: { lb: '1.2.3.4', lb2: '5.6.7.8', open: '1.2.3.5', ext: '203.0.113.2', blocked: '203.0.113.130' },
	v6: {
		lb: '2001:db8::4',
		lb2: '2001:db8::8',
		open: '2001:db8::5',
		ext: '2001:db8:5::2',
		blocked: '2001:db8:6::2',
	},
} as const;
const RANGES = ['192.168.0.0/24', '203.0.113.0/25', '2001:db8:5::/48'];
const HOOKS = [program('ml_xdp'), program('ml_from_netdev')];
const OUTSIDE = HOOKS.flatMap((hook) => CASES.map((one) => ({ hook, name: hook.name, ...one })));
const POD = program('ml_from_pod');
const { EXTERNAL, INTERNAL } = FrontendScope;
const { LOADBALANCER, RANGES: LIMITED, CLUSTERIP, DROP } = FrontendFlag;

describe('loadBalancerSourceRanges (B-06)', () => {
	let plane: Dataplane;
	const ids = new Map<string, number>();
	beforeAll(async () => {
		plane = await Dataplane.open('mlps');
		for (const { family, proto } of CASES) {
			const { node, clusterIp, remote } = ADDR[family];
			const { lb, lb2, open } = LB[family];
			const limited = LOADBALANCER | LIMITED;
			const both = (address: string, flags: number) =>
				[EXTERNAL, INTERNAL].map((scope) => ({ address, port: SERVICE_PORT, flags, scope }));
			const { serviceId } = plane.services.add({
				proto,
				frontends: [
					...[lb, lb2].flatMap((address) => both(address, limited)),
					...both(clusterIp, CLUSTERIP),
					{ address: node, port: NODEPORT },
				],
				backends: [{ address: remote, port: TARGET_PORT }],
			});
			plane.services.sourceRanges(serviceId, ...RANGES);
			ids.set(`${family} ${proto}`, serviceId);
			plane.services.add({
				proto,
				frontends: both(open, LOADBALANCER),
				backends: [{ address: remote, port: TARGET_PORT }],
			});
			// without any backend, or with remote ones only
			for (const [port, flags] of [
				[81, limited],
				[82, limited | DROP],
			] as const) {
				plane.services.add({ proto, frontends: [{ address: lb, port, flags }], backends: [] });
			}
		}
	});
	afterAll(() => plane?.close());

	const send = (hook: typeof POD, { proto }: Case, shape: Pick<Shape, 'src' | 'dst'> & Partial<Shape>) =>
		plane.counting(() =>
			plane.run(hook, frameOf({ proto, sport: 4000, dport: SERVICE_PORT, flags: 'S', ...shape })),
		);
	const passes = (sent: ReturnType<typeof send>, { family }: Case) => {
		expect(sent.reasons['DROP_SOURCE_RANGE']).toBeUndefined();
		expect(decode(sent.result.bytes).ip!.dst).toBe(ADDR[family].remote);
	};
	const blocks = (hook: typeof POD, sent: ReturnType<typeof send>) => {
		expect(dropped(hook, sent.result.action)).toBe(true);
		expect(sent.reasons).toEqual({ DROP_SOURCE_RANGE: 1 });
	};

	it.each(OUTSIDE)(
		'$name $proto IP$family: a source in a range reaches every address',
		({ hook, ...row }) => {
			plane.clear();
			const { lb, lb2, ext } = LB[row.family];
			for (const dst of [lb, lb2]) passes(send(hook, row, { src: ext, dst }), row);
		},
	);

	it.each(OUTSIDE)('$name $proto IP$family: a source in none is dropped in silence', ({ hook, ...row }) => {
		plane.clear();
		const { lb, blocked } = LB[row.family];
		blocks(hook, send(hook, row, { src: blocked, dst: lb }));
		// and the client cannot detect whether there is a backend
		for (const dport of [81, 82]) blocks(hook, send(hook, row, { src: blocked, dst: lb, dport }));
	});

	it.each(OUTSIDE)('$name $proto IP$family: other frontends are for everybody', ({ hook, ...row }) => {
		plane.clear();
		const { open, blocked } = LB[row.family];
		passes(send(hook, row, { src: blocked, dst: open }), row);
		passes(send(hook, row, { src: blocked, dst: ADDR[row.family].node, dport: NODEPORT }), row);
	});

	it.each(OUTSIDE)('$name $proto IP$family: the address itself may always', ({ hook, ...row }) => {
		plane.clear();
		const { lb } = LB[row.family];
		passes(send(hook, row, { src: lb, dst: lb }), row);
	});

	it.each(CASES)('a pod is a source as others are, $proto IP$family', (row) => {
		plane.clear();
		const { lb } = LB[row.family];
		const { local, clusterIp } = ADDR[row.family];
		blocks(POD, send(POD, row, { src: local, dst: lb }));
		passes(send(POD, row, { src: local, dst: clusterIp }), row);
		plane.services.sourceRanges(ids.get(`${row.family} ${row.proto}`)!, '10.244.1.0/24', 'fd00:244:1::/64');
		passes(send(POD, row, { src: local, dst: lb }), row);
	});

	it.each(CASES)(
		'a flow that has begun goes on when its source is allowed no more, $proto IP$family',
		(row) => {
			plane.clear();
			const hook = program('ml_from_netdev');
			const { lb, blocked } = LB[row.family];
			const serviceId = ids.get(`${row.family} ${row.proto}`)!;
			const range = row.family === 'v4' ? '203.0.113.130/32' : '2001:db8:6::2/128';
			plane.services.sourceRanges(serviceId, range);
			passes(send(hook, row, { src: blocked, dst: lb }), row);
			plane.services.withoutSourceRange(serviceId, range);
			passes(send(hook, row, { src: blocked, dst: lb, flags: 'A' }), row);
			blocks(hook, send(hook, row, { src: blocked, dst: lb, sport: 4001 }));
		},
	);
});
