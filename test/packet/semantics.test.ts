import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Reconciler } from '../../agent/loop/reconcile.ts';
import {
	CLIENT_IP,
	type Family,
	type Flow,
	type FlowCase,
	flowCases,
	inFamily,
	NODE_IP,
	POD_IP,
	serviceOf,
	sliceOf,
	target,
} from '../semantics/flow-cases.ts';
import { node } from '../unit/reconcile-objects.ts';
import { decode } from './decode.ts';
import { Dataplane, dropped, type Program, passed, program, redirected } from './fixture.ts';
import { frameOf, MAC, type Shape, turned } from './shape.ts';

type Case = FlowCase & { readonly family: Family };

/** Enough connections to hit each of a few endpoints. */
const CONNECTIONS = 64;
const fromPod = program('ml_from_pod');
const toPod = program('ml_to_pod');
const fromNetdev = program('ml_from_netdev');
const toNetdev = program('ml_to_netdev');

/** The first packet of a connection, from the veth of the pod or the uplink. */
function opening({ family }: Case, { from, to }: Flow, sport: number, source: string): Shape {
	const { ip, port } = target(to, family);
	const macs =
		from === 'ext' ? { ethSrc: MAC.client, ethDst: MAC.node } : { ethSrc: MAC.pod, ethDst: MAC.host };
	return { proto: 'tcp', src: inFamily(source, family), dst: ip, sport, dport: port, flags: 'S', ...macs };
}

const sourceOf = ({ endpoints }: Case, { from }: Flow): string =>
	({ pod: POD_IP, ext: CLIENT_IP, self: endpoints[0]?.ip ?? '', node: NODE_IP })[from];

describe('where packets of each client go', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlps', { answer_burst: 1_000_000 });
		for (const family of [4, 6] as const) {
			plane.net.ip(
				'dut',
				`address add ${inFamily(NODE_IP, family)} dev up0${family === 6 ? ' nodad' : ''}`,
				`route add ${inFamily(CLIENT_IP, family)} dev up0`,
				`neighbour add ${inFamily(CLIENT_IP, family)} lladdr ${MAC.client} dev up0 nud permanent`,
			);
		}
	});
	afterAll(() => plane?.close());

	/**
	 * Programs the objects by the control loop. Routes lead to the pods, here or behind the other
	 * node.
	 */
	function serve(one: Case): void {
		plane.clear();
		const silent = () => {};
		const reconciler = new Reconciler({
			maps: plane.objects.maps,
			nodeName: 'node1',
			log: { debug: silent, info: silent, warn: silent, error: silent },
			clock: { now: () => performance.now(), after: () => silent },
			random: () => 0.5,
		});
		const { services, endpoints, node: nodes } = reconciler.sinks('endpointslices');
		nodes.upsert('node1', node([inFamily(NODE_IP, one.family)]));
		services.upsert('ns/svc', serviceOf(one));
		endpoints.upsert('ns/svc-x', sliceOf(one));
		services.listed();
		endpoints.listed();
		expect(reconciler.sync()).toBeDefined();
		for (const { ip, local } of one.endpoints) {
			const address = inFamily(ip, one.family);
			const via = one.family === 4 ? '192.168.10.12' : 'fd00:10::12';
			plane.net.ip(
				'dut',
				`route replace ${address} ${local ? 'dev pod0' : `via ${via}`}`,
				...(local ? [`neighbour replace ${address} lladdr ${MAC.pod} dev pod0 nud permanent`] : []),
			);
		}
	}

	/** Checks the reply to the client. Its source must be the dialled address. */
	function expectReply(hook: Program, sent: Shape, arrived: Shape): void {
		const reply = plane.run(hook, frameOf(turned(arrived, { flags: 'SA' })));
		const { ip, tcp } = decode(reply.bytes);
		expect(`${ip?.src} ${tcp?.sport} -> ${ip?.dst} ${tcp?.dport}`).toBe(
			`${sent.dst} ${sent.dport} -> ${sent.src} ${sent.sport}`,
		);
	}

	/** The endpoint of one connection, and whether its source changed. */
	function connect(one: Case, flow: Flow, sport: number, client = sourceOf(one, flow)): string {
		const hook = flow.from === 'ext' ? fromNetdev : fromPod;
		const sent = opening(one, flow, sport, client);
		const { action, bytes } = plane.run(hook, frameOf(sent));
		if (dropped(hook, action)) return 'DROP';
		const { ip, tcp, eth } = decode(bytes);
		if (tcp!.flags.includes('R')) return 'REJECT';
		expect(passed(hook, action) || redirected(hook, action)).toBe(true);
		const arrived: Shape = { ...sent, src: ip!.src, dst: ip!.dst, sport: tcp!.sport, dport: tcp!.dport };
		const here = one.endpoints.some((e) => e.local && inFamily(e.ip, one.family) === ip!.dst);
		const back = here ? (flow.from === 'ext' ? toNetdev : fromPod) : flow.from === 'ext' ? fromNetdev : toPod;
		expectReply(flow.from === 'pod' ? toPod : back, sent, { ...arrived, ethSrc: eth!.src, ethDst: eth!.dst });
		const changed = ip!.src === inFamily(NODE_IP, one.family);
		expect(changed || ip!.src === sent.src).toBe(true);
		return `${ip!.dst} ${tcp!.dport} ${changed ? 'M' : '-'}`;
	}

	/**
	 * The results that the tables require. A mark means that replies return through this node. The
	 * source must then be the node address in two cases: a remote endpoint with an outside client,
	 * and an endpoint that reaches itself.
	 */
	function wanted({ endpoints, family }: Case, { from, want }: Flow): string[] {
		const [list, mark] = want.split(' ') as [string, string | undefined];
		if (!list.includes(':')) return [list];
		return list
			.split(',')
			.map((text) => {
				const { ip, port } = target(text, family);
				const remote = endpoints.some((e) => !e.local && inFamily(e.ip, family) === ip);
				return `${ip} ${port} ${mark && (from === 'self' || (from === 'ext' && remote)) ? 'M' : '-'}`;
			})
			.sort();
	}

	/**
	 * Skips connections of the node's own processes, which its sockets translate. test/netns tests
	 * them.
	 */
	function expectFlows(one: Case): void {
		serve(one);
		for (const flow of one.flows.filter(({ from }) => from !== 'node')) {
			const seen = Array.from({ length: CONNECTIONS }, (_, i) => connect(one, flow, 40_000 + i));
			expect([flow.from, flow.to, ...[...new Set(seen)].sort()]).toEqual([
				flow.from,
				flow.to,
				...wanted(one, flow),
			]);
		}
	}

	it.each(flowCases('B-01'))('IPv$family: every address refuses, $name (B-01)', expectFlows);
	it.each(flowCases('B-02'))('IPv$family: a ClusterIP keeps the source, $name (B-02)', expectFlows);
	it.each(flowCases('B-05'))(
		'IPv$family: the source becomes the node’s when $name (B-05, B R-4)',
		expectFlows,
	);
	it.each(flowCases('B-08a'))('IPv$family: a NodePort at the primary address, $name (B-08a)', expectFlows);
	it.each(flowCases('B-09'))('IPv$family: pods have all, outside the local one, $name (B-09)', expectFlows);
	it.each(flowCases('B-10'))('IPv$family: both endpoints for everyone, $name (B-10)', expectFlows);
	it.each(flowCases('B-11'))('IPv$family: who is masqueraded, $name (B-11, B R-4)', expectFlows);
	it.each(flowCases('B-15'))('IPv$family: internalTrafficPolicy decides, $name (B-15)', expectFlows);
	it.each(flowCases('B-17'))('IPv$family: externalTrafficPolicy Local, $name (B-17, B R-2)', expectFlows);
	it.each(flowCases('B-19'))('IPv$family: externalTrafficPolicy Cluster, $name (B-19, B R-2)', expectFlows);
	it.each(flowCases('B-20'))('IPv$family: terminating endpoints come last, $name (B-20, B R-2)', expectFlows);
	it.each([4, 6] as const)(
		'IPv%s: a client stays with its endpoint when the Service says so, and chooses anew when not (B-21)',
		(family) => {
			const endpoints = ['10.180.0.1', '10.180.2.1', '10.180.3.1'].map((ip) => ({
				ip,
				local: false,
				state: 'r' as const,
			}));
			const flow = { from: 'pod', to: '172.30.0.41:80', want: '' } as const;
			const reached = (spec: object, client: (i: number) => string) => {
				const one = { name: '', spec: { ...spec }, endpoints, flows: [], family };
				serve(one);
				const ends = Array.from({ length: CONNECTIONS }, (_, i) => connect(one, flow, 41_000 + i, client(i)));
				return new Set(ends).size;
			};
			const clientIP = { timeoutSeconds: 10_800 };
			const sticky = { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP } };
			expect(reached(sticky, () => POD_IP)).toBe(1);
			expect(reached(sticky, (i) => `10.0.0.${i + 3}`)).toBe(3);
			expect(reached({}, () => POD_IP)).toBe(3);
		},
	);
	it.each(flowCases('B R-3'))('IPv$family: policies rule their addresses only, $name (B R-3)', expectFlows);
});
