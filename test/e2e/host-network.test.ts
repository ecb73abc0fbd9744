import { afterAll, beforeAll, describe, it } from 'vitest';
import { Environment, type From, type Target } from './support/environment.ts';
import { DUAL_STACK, pod, service } from './support/objects.ts';
import { type ServiceView, TCP_AND_UDP } from './support/service-view.ts';

const HTTP = 10_180;
const UDP = 10_181;
const PORTS = [
	{ name: 'http', port: 80, targetPort: HTTP },
	{ name: 'udp', port: 90, targetPort: UDP, protocol: 'UDP' },
];

let env: Environment;
let pods: From[];
let hosts: From[];
/** Answers of servers in the host network: the names of their nodes. */
let servers: string[];

beforeAll(async () => {
	env = await Environment.shared('host-network');
	pods = await env.clients();
	hosts = env.hosts();
	const labels = { app: 'hosted' };
	const common = { hostNetwork: true, http: HTTP, udp: UDP, labels };
	await env.apply(
		...env.nodes.slice(0, 2).map(({ name }) => pod(`hosted-${name}`, { node: name, ...common })),
		service('hosted', { type: 'NodePort', ports: PORTS, ...DUAL_STACK }),
	);
	await env.podsReady('hosted', 2);
	servers = env.nodes.slice(0, 2).map(({ name }) => name);
});

afterAll(async () => env?.[Symbol.asyncDispose]());

const everywhere = (view: ServiceView, udp: boolean): Target[] => [
	...view.clusterIPs(udp),
	...env.nodes.flatMap((node) => view.nodePorts(node, udp)),
];

describe('endpoints in the host’s network', () => {
	it('are all reached from pods of every node by ClusterIP and every NodePort, TCP and UDP (A-86)', async () => {
		const view = await env.service('hosted');
		for (const udp of TCP_AND_UDP) await env.allReach(pods, everywhere(view, udp), servers);
	});

	it('are all reached from every node, their own too, by ClusterIP and every NodePort, TCP and UDP (A-86, F-45)', async () => {
		const view = await env.service('hosted');
		for (const udp of TCP_AND_UDP) await env.allReach(hosts, everywhere(view, udp), servers);
	});

	it('are all reached from outside by every NodePort', async () => {
		const view = await env.service('hosted');
		for (const udp of TCP_AND_UDP)
			await env.allReach(
				['outside'],
				env.nodes.flatMap((node) => view.nodePorts(node, udp)),
				servers,
			);
	});

	it('leave what nodes say to each other directly as it is (F-45)', async () => {
		for (const { name, v4, v6 } of env.nodes.slice(0, 2))
			for (const udp of TCP_AND_UDP) {
				const targets = [v4!, v6!].map((host) => ({ host, port: udp ? UDP : HTTP, udp }));
				await env.allReach(hosts, targets, [name]);
			}
	});

	it('under internalTrafficPolicy Local serve pods and processes of their own node only (A-36)', async () => {
		const spec = { selector: { app: 'hosted' }, internalTrafficPolicy: 'Local', ports: PORTS, ...DUAL_STACK };
		await env.apply(service('hosted-local', spec));
		const view = await env.service('hosted-local');
		for (const udp of TCP_AND_UDP) {
			for (const [i, server] of servers.entries())
				await env.allReach([pods[i]!, hosts[i]!], view.clusterIPs(udp), [server]);
			await env.allFail([pods[2]!, hosts[2]!], view.clusterIPs(udp), 'timeout');
		}
	});
});
