import { afterAll, beforeAll, describe, it } from 'vitest';
import { Environment, type From, type Target } from './support/environment.ts';
import { DUAL_STACK, deployment, service } from './support/objects.ts';
import type { ServiceView } from './support/service-view.ts';

const EXTERNAL = ['203.0.113.40', '2001:db8:113::40'];
const BALANCED = ['203.0.113.41', '2001:db8:113::41'];

type Way = 'ClusterIP' | 'NodePort' | 'externalIP' | 'LoadBalancer';

/** What a Service is to be for each way to it. */
const SPECS: Record<Way, object> = {
	ClusterIP: { type: 'ClusterIP', externalIPs: null },
	NodePort: { type: 'NodePort', externalIPs: null },
	externalIP: { type: 'ClusterIP', externalIPs: EXTERNAL },
	LoadBalancer: { type: 'LoadBalancer', externalIPs: null },
};

/** Each way after each other one. */
const LADDER: readonly Way[] = [
	'ClusterIP',
	'NodePort',
	'externalIP',
	'LoadBalancer',
	'ClusterIP',
	'externalIP',
	'NodePort',
	'LoadBalancer',
	'externalIP',
	'ClusterIP',
	'LoadBalancer',
	'NodePort',
	'ClusterIP',
];

let env: Environment;
let pods: From[];
let backends: string[];

beforeAll(async () => {
	env = await Environment.shared('types');
	pods = await env.clients();
	await env.apply(deployment('ladder', 2), service('ladder', DUAL_STACK));
	await env.podsReady('ladder', 2);
	backends = await env.podNames('ladder');
	await env.driver.routeOutside?.([...EXTERNAL, ...BALANCED].map((ip) => [ip, env.nodes[1]!]));
});

afterAll(async () => env?.[Symbol.asyncDispose]());

/** Who is outside can use each way but the ClusterIP, where it can be sent to a node. */
function placesOf(way: Way): From[] {
	if (way === 'ClusterIP') return pods;
	return way === 'NodePort' || env.driver.routeOutside ? [...pods, 'outside'] : pods;
}

function targetsOf(way: Way, view: ServiceView): Target[] {
	return [false, true].flatMap((udp) => {
		if (way === 'ClusterIP') return view.clusterIPs(udp);
		if (way === 'NodePort') return env.nodes.flatMap((node) => view.nodePorts(node, udp));
		return view.at(way === 'externalIP' ? EXTERNAL : BALANCED, udp);
	});
}

/** A Service has a ClusterIP whatever it is, and one with a load balancer its node ports. */
const keeps = (now: Way, before: Way) =>
	before === 'ClusterIP' || (now === 'LoadBalancer' && before === 'NodePort');

const change = (spec: object) =>
	env.kubectl('patch', 'service', 'ladder', '--type=merge', '-p', JSON.stringify({ spec }));

async function becomes(way: Way): Promise<Target[]> {
	await change(SPECS[way]);
	if (way === 'LoadBalancer') await env.ingress('ladder', BALANCED);
	const targets = targetsOf(way, await env.service('ladder'));
	await env.allReach(placesOf(way), targets, backends);
	return targets;
}

describe('a Service that changes', () => {
	it('from each way to reach it to each other: the new one works, the old one fails, the ClusterIP stays (F-40)', async () => {
		let before: [Way, Target[]] | undefined;
		for (const way of LADDER) {
			const targets = await becomes(way);
			if (before && !keeps(way, before[0])) await env.allFail(placesOf(before[0]), before[1]);
			await env.allReach(pods.slice(0, 1), targetsOf('ClusterIP', await env.service('ladder')), backends);
			before = [way, targets];
		}
	}, 120_000);

	it('its port: the new one answers at every address, the old one at none (F-40)', async () => {
		await becomes('externalIP');
		const old = await env.service('ladder');
		const ports = [
			{ name: 'http', port: 8100, targetPort: 8080 },
			{ name: 'udp', port: 9100, targetPort: 8081, protocol: 'UDP' },
		];
		await change({ ports });
		const view = await env.service('ladder');
		for (const way of ['ClusterIP', 'externalIP'] as const) {
			await env.allReach(placesOf(way), targetsOf(way, view), backends);
			await env.allFail(placesOf(way), targetsOf(way, old));
		}
	});
});
