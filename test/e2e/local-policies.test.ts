import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment, type From, type Target } from './support/environment.ts';
import { DUAL_STACK, pod, service } from './support/objects.ts';
import { TCP_AND_UDP } from './support/service-view.ts';
import { eventually } from './support/wait.ts';

let env: Environment;
let pods: From[];
let hosts: From[];

beforeAll(async () => {
	env = await Environment.shared('local');
	pods = await env.clients();
	hosts = env.hosts();
	// Servers run on the first two nodes, none on the third. Pod `self` also sends requests.
	const [first, second] = env.nodes;
	const labels = { app: 'two' };
	await env.apply(
		pod('a', { node: first!.name, labels }),
		pod('b', { node: second!.name, labels }),
		pod('self', { node: first!.name, probe: true }),
	);
	await env.podsReady('two', 2);
	await env.podsReady('self', 1);
});

afterAll(async () => env?.[Symbol.asyncDispose]());

const NODE_PORT = { type: 'NodePort', ...DUAL_STACK };
const LOAD_BALANCER = { type: 'LoadBalancer', ...DUAL_STACK };
const LOCAL = { externalTrafficPolicy: 'Local' };
const select = (app: string) => ({ selector: { app } });
const SILENCE = 'timeout';

const apply = async (name: string, spec: object) => {
	await env.apply(service(name, { ...spec }));
	return env.service(name);
};

/** The result of a healthCheckNodePort on each node: a status or an error. */
async function healthOfNodes(port: number): Promise<(number | string)[]> {
	const outside = await env.prober('outside');
	const answers = env.nodes.map(({ v4 }) => outside.http(v4!, port, '/healthz', { timeoutMs: 1000 }));
	return (await Promise.all(answers)).map(([answer]) => answer!.status ?? answer!.error!);
}

const nodesSay = (port: number, wanted: (number | string)[]) =>
	eventually(`port ${port} says ${wanted} on the nodes, twice in a row`, async () => {
		for (let i = 0; i < 2; i++) {
			const said = await healthOfNodes(port);
			if (said.join() !== wanted.join()) throw new Error(`It says ${said}`);
		}
		return true;
	});

/**
 * Checks policy Local from outside: a node with a pod answers from that pod only, other nodes do
 * not answer.
 */
async function isLocalFromOutside(perNode: readonly (readonly Target[])[]): Promise<void> {
	for (const [i, targets] of perNode.entries()) {
		const here = ['a', 'b'][i];
		if (here === undefined) await env.allFail(['outside'], targets, SILENCE);
		else await env.allReach(['outside'], targets, [here]);
	}
}

async function keepsOutsideAddress(targets: readonly Target[]): Promise<void> {
	const ofNodes = env.nodes.flatMap(({ v4, v6 }) => [v4, v6]);
	for (const target of targets) {
		const sources = await env.sources('outside', target);
		expect(sources).toHaveLength(1);
		expect(ofNodes).not.toContain(sources[0]);
		const known = env.driver.outside;
		if (known) expect(Object.values(known)).toContain(sources[0]);
	}
}

describe('internalTrafficPolicy Local', () => {
	it('pods and processes of a node reach its own pod only, those of a node without one nothing (A-34)', async () => {
		const view = await apply('internal', { ...select('two'), internalTrafficPolicy: 'Local', ...DUAL_STACK });
		for (const udp of TCP_AND_UDP) {
			const targets = view.clusterIPs(udp);
			await env.allReach([pods[0]!, hosts[0]!], targets, ['a']);
			await env.allReach([pods[1]!, hosts[1]!], targets, ['b']);
			await env.allFail([pods[2]!, hosts[2]!], targets, SILENCE);
		}
	});
});

describe('no endpoint', () => {
	it('refuses TCP and UDP everywhere, under Local policies too; these are silent once another node has one (R-A3)', async () => {
		const spec = { ...LOAD_BALANCER, ...select('lonely'), ...LOCAL, internalTrafficPolicy: 'Local' };
		const view = await apply('lonely', spec);
		const nodePorts = (udp: boolean) => env.nodes.map((node) => view.nodePorts(node, udp));
		for (const udp of TCP_AND_UDP) {
			await env.allFail([...pods, ...hosts], view.clusterIPs(udp), 'ECONNREFUSED');
			await env.allFail([...pods, ...hosts, 'outside'], nodePorts(udp).flat(), 'ECONNREFUSED');
		}
		await env.apply(pod('lonely', { node: env.nodes[0]!.name }));
		for (const udp of TCP_AND_UDP) {
			await env.allReach([pods[0]!, hosts[0]!], view.clusterIPs(udp), ['lonely']);
			await env.allFail([pods[2]!, hosts[2]!], view.clusterIPs(udp), SILENCE);
			await env.allReach(['outside'], nodePorts(udp)[0]!, ['lonely']);
			await env.allFail(['outside'], nodePorts(udp)[2]!, SILENCE);
		}
	});
});

describe.each([
	['NodePort', NODE_PORT],
	['LoadBalancer', LOAD_BALANCER],
])('%s', (type, spec) => {
	const name = (policy: string) => `${policy}-${type.toLowerCase()}`;
	/** Addresses of the load balancer, each routed to its node. No other test uses them. */
	const ingress = (policy: string) =>
		env.nodes.map((_, i) => {
			const last = (policy === 'local' ? 20 : 10) + i;
			return [`203.0.113.${last}`, `2001:db8:113::${last}`];
		});

	/** Targets of the Service through each node. */
	const through = async (policy: string, udp: boolean) => {
		const view = await env.service(name(policy));
		if (type === 'NodePort') return env.nodes.map((node) => view.nodePorts(node, udp));
		return ingress(policy).map((addresses) => view.at(addresses, udp));
	};

	const make = async (policy: string, more: object) => {
		await apply(name(policy), { ...spec, ...select('two'), ...more });
		if (type === 'NodePort') return;
		const addresses = ingress(policy);
		await env.ingress(name(policy), addresses.flat());
		const routes = addresses.flatMap((list, i) => list.map((ip) => [ip, env.nodes[i]!] as const));
		await env.driver.routeOutside?.(routes);
	};

	it('externalTrafficPolicy Cluster: from outside through every node, from nodes and pods, every pod answers (F-59)', async () => {
		await make('cluster', {});
		for (const udp of TCP_AND_UDP) {
			const perNode = await through('cluster', udp);
			const places = type === 'NodePort' || env.driver.routeOutside ? ['outside' as const] : [];
			await env.allReach([...places, ...pods, ...hosts], perNode.flat(), ['a', 'b']);
		}
	});

	it('externalTrafficPolicy Local, from outside: only a node with a pod answers, from that, and it sees who asks (A-50, F-59)', async ({
		skip,
	}) => {
		await make('local', LOCAL);
		skip(type === 'LoadBalancer' && !env.driver.routeOutside, 'no routes to a load balancer can be made');
		for (const udp of TCP_AND_UDP) {
			const perNode = await through('local', udp);
			await isLocalFromOutside(perNode);
			await keepsOutsideAddress(perNode.slice(0, 2).flat());
		}
	});

	it('externalTrafficPolicy Local, from pods and nodes: every pod answers at the own node’s address (R-A6, F-59)', async () => {
		for (const udp of TCP_AND_UDP) {
			const perNode = await through('local', udp);
			for (const [i, targets] of perNode.entries()) {
				await env.allReach([pods[i]!, hosts[i]!], targets, ['a', 'b']);
				const [address] = await env.addressesOf(`client-${env.nodes[i]!.name}`);
				expect(await env.sources(pods[i]!, targets[0]!)).toEqual([address]);
			}
		}
	});

	it('a pod reaches itself through its own node, with policy Local too, but not through a node without it (F-43, F-59)', async () => {
		const asked = select('self');
		for (const [policy, more] of Object.entries({ cluster: {}, local: LOCAL })) {
			const view = await apply(`self-${name(policy)}`, { ...spec, ...asked, ...more });
			for (const udp of TCP_AND_UDP) {
				await env.allReach([{ pod: 'self' }], view.nodePorts(env.nodes[0]!, udp), ['self']);
				const elsewhere = view.nodePorts(env.nodes[2]!, udp);
				if (policy === 'cluster') await env.allReach([{ pod: 'self' }], elsewhere, ['self']);
				else await env.allFail([{ pod: 'self' }], elsewhere, SILENCE);
			}
		}
	});
});

describe('LoadBalancer', () => {
	const ADDRESSES = ['203.0.113.30', '2001:db8:113::30'];

	it('from pods of every node, the pod’s own address is seen, policy Local or not (A-52)', async () => {
		const view = await apply('balanced', { ...LOAD_BALANCER, ...select('two'), ...LOCAL });
		await env.ingress('balanced', ADDRESSES);
		for (const target of [...view.at(ADDRESSES), ...view.at(ADDRESSES, true)]) {
			await env.allReach(pods, [target], ['a', 'b']);
			for (const [i, { name }] of env.nodes.entries()) {
				const own = await env.addressesOf(`client-${name}`);
				expect(own).toContain((await env.sources(pods[i]!, target)).join());
			}
		}
	});

	it('healthCheckNodePort says 200 on the node with a pod only, and follows the pod (A-51)', async () => {
		const on = (i: number) => pod(`mover-${i}`, { node: env.nodes[i]!.name, labels: { app: 'mover' } });
		await env.apply(on(0));
		const { spec } = await apply('moved', { ...LOAD_BALANCER, ...select('mover'), ...LOCAL });
		await nodesSay(spec.healthCheckNodePort, [200, 503, 503]);
		await env.apply(on(2));
		await env.podsReady('mover', 2);
		await env.kubectl('delete', 'pod', 'mover-0', '--wait=false');
		await nodesSay(spec.healthCheckNodePort, [503, 503, 200]);
	});

	it('allocateLoadBalancerNodePorts false gives no node port, true gives one (A-54)', async () => {
		const { spec } = await apply('portless', { ...LOAD_BALANCER, allocateLoadBalancerNodePorts: false });
		expect(spec.ports.map(({ nodePort = 0 }) => nodePort)).toEqual([0, 0]);
		await env.patch('service', 'portless', { spec: { allocateLoadBalancerNodePorts: true } });
		const { spec: after } = await env.service('portless');
		for (const { nodePort } of after.ports) expect(nodePort).toBeGreaterThan(0);
	});

	it('node port and healthCheckNodePort follow externalTrafficPolicy: Local, Cluster, Local again (A-47)', async () => {
		const set = async (policy: string) => {
			await env.patch('service', 'changing', { spec: { externalTrafficPolicy: policy } });
			return env.service('changing');
		};
		const isLocal = async (view: Awaited<ReturnType<typeof set>>) => {
			await nodesSay(view.spec.healthCheckNodePort, [200, 200, 503]);
			await isLocalFromOutside(env.nodes.map((node) => view.nodePorts(node)));
		};
		const local = await apply('changing', { ...LOAD_BALANCER, ...select('two'), ...LOCAL });
		await isLocal(local);
		const cluster = await set('Cluster');
		expect(cluster.spec.healthCheckNodePort ?? 0).toBe(0);
		await nodesSay(
			local.spec.healthCheckNodePort,
			env.nodes.map(() => 'ECONNREFUSED'),
		);
		const everywhere = env.nodes.flatMap((node) => cluster.nodePorts(node));
		await env.allReach(['outside'], everywhere, ['a', 'b']);
		await isLocal(await set('Local'));
	});
});
