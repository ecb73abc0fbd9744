import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment, type From, type Json, type Target } from './support/environment.ts';
import { DUAL_STACK, deployment, service } from './support/objects.ts';
import type { ServiceView } from './support/service-view.ts';

const EXTERNAL = ['203.0.113.240', '2001:db8:113::240'];
const LB = ['203.0.113.241', '2001:db8:113::241'];

let env: Environment;
let pods: From[];
let backends: string[];

beforeAll(async () => {
	env = await Environment.shared('transitions');
	pods = await env.clients();
	await env.apply(deployment('echo', 2));
	await env.podsReady('echo', 2);
	backends = await env.podNames('echo');
	await env.driver.routeOutside?.([...EXTERNAL, ...LB].map((address) => [address, env.nodes[1]!]));
});

afterAll(async () => env?.[Symbol.asyncDispose]());

const echo = (name: string, spec: object = {}) =>
	env.apply(service(name, { selector: { app: 'echo' }, ...DUAL_STACK, ...spec }));
const outside = (): From[] => (env.driver.routeOutside ? ['outside'] : []);

/** A way to reach the Service: the spec that enables it, the clients, and the targets. */
interface Way {
	readonly name: string;
	readonly spec: Json;
	readonly ingress?: readonly string[];
	readonly from: () => From[];
	readonly at: (view: ServiceView, udp: boolean) => Target[];
}

const NAME = 'ladder';
const NO_ADDRESSES = { externalIPs: null, allocateLoadBalancerNodePorts: null };
const WAYS: Readonly<Record<'C' | 'N' | 'E' | 'L', Way>> = {
	C: {
		name: 'ClusterIP',
		spec: { ...NO_ADDRESSES, type: 'ClusterIP' },
		from: () => pods,
		at: (view, udp) => view.clusterIPs(udp),
	},
	N: {
		name: 'NodePort',
		spec: { ...NO_ADDRESSES, type: 'NodePort' },
		from: () => ['outside', ...pods],
		at: (view, udp) => env.nodes.flatMap((node) => view.nodePorts(node, udp)),
	},
	E: {
		name: 'external IP',
		spec: { ...NO_ADDRESSES, type: 'ClusterIP', externalIPs: EXTERNAL },
		from: () => [...outside(), ...pods],
		at: (view, udp) => view.at(EXTERNAL, udp),
	},
	L: {
		name: 'load balancer address',
		spec: { ...NO_ADDRESSES, type: 'LoadBalancer', allocateLoadBalancerNodePorts: false },
		ingress: LB,
		from: () => [...outside(), ...pods],
		at: (view, udp) => view.at(LB, udp),
	},
};

/** Current targets of this way: TCP and UDP, both families. */
async function targetsOf(way: Way): Promise<Target[]> {
	const view = await env.service(NAME);
	return [false, true].flatMap((udp) => way.at(view, udp));
}

/** A walk that contains every change from one way to another exactly once. */
const WALK = 'CNCECLNENLELC';

describe('a Service that changes', () => {
	it('how it is reached: after each of 12 transitions the new way works and what is no more fails (F-40, F-38)', async () => {
		await echo(NAME);
		let before: Way | undefined;
		for (const step of WALK) {
			const way = WAYS[step as keyof typeof WAYS];
			const old = before && before !== WAYS.C ? await targetsOf(before) : [];
			await env.patch('service', NAME, { spec: way.spec });
			if (way.ingress) await env.ingress(NAME, way.ingress);
			await env.allReach(way.from(), await targetsOf(way), backends);
			// the ClusterIP works in every state
			await env.allReach(pods.slice(0, 1), await targetsOf(WAYS.C), backends);
			// the API server keeps nodePorts between two types that may have them
			const stays = before === WAYS.N && way === WAYS.L;
			if (stays) await env.allReach(pods, old, backends);
			else await env.allFail(before?.from() ?? [], old);
			before = way;
		}
	});

	it('its port: the new one works and the old one fails (F-40)', async () => {
		await echo('renumbered', { type: 'NodePort' });
		const old = await env.service('renumbered');
		const ports = [{ name: 'http', port: 81, targetPort: 8080, nodePort: 30_781 }];
		await env.apply(
			service('renumbered', { selector: { app: 'echo' }, type: 'NodePort', ...DUAL_STACK, ports }),
		);
		const fresh = await env.service('renumbered');
		await env.allReach(pods, fresh.clusterIPs(), backends);
		await env.allReach(['outside', ...pods], fresh.nodePorts(env.nodes[0]!), backends);
		await env.allFail(pods, old.clusterIPs());
		await env.allFail(['outside', ...pods], old.nodePorts(env.nodes[0]!), 'ECONNREFUSED');
	});

	it('its target port: connections to a wrong one are refused, and work when it is right again (F-38)', async () => {
		await echo('target', { type: 'NodePort' });
		const to = async () => {
			const found = await env.service('target');
			return [...found.clusterIPs(), ...found.nodePorts(env.nodes[0]!)];
		};
		const retarget = (targetPort: number) =>
			env.patch('service', 'target', { spec: { ports: [{ port: 80, targetPort }] } });
		await env.allReach(['outside'], (await to()).slice(1), backends);
		await retarget(9);
		await env.allFail(pods, await to(), 'ECONNREFUSED');
		await env.allFail(['outside'], (await to()).slice(1), 'ECONNREFUSED');
		await retarget(8080);
		await env.allReach(pods, await to(), backends);
	});

	it('its number of endpoints: connections go on where they are (F-38)', async () => {
		await env.apply(deployment('growing', 2), service('growing', { type: 'NodePort' }));
		await env.podsReady('growing', 2);
		const { host, port } = (await env.service('growing')).nodePorts(env.nodes[0]!)[0]!;
		await env.reaches('outside', { host, port }, await env.podNames('growing'));
		const prober = await env.prober('outside');
		await prober.hold('growing', host, port, 10);
		await env.kubectl('scale', 'deployment', 'growing', '--replicas=4');
		await env.podsReady('growing', 4);
		await env.reaches('outside', { host, port }, await env.podNames('growing'));
		const report = await prober.release('growing');
		expect(report).toMatchObject({ connections: 10, lost: [] });
		expect(report.requests).toBeGreaterThan(10);
	});
});
