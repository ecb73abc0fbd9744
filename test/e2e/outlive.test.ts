/**
 * TCP connections outlive their frontend, as with kube-proxy, where conntrack keeps them. The tests
 * delete and recreate a Service, and change its port or type. New connections use the current
 * Service.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment, type Target } from './support/environment.ts';
import { DUAL_STACK, deployment, service } from './support/objects.ts';

const CONNECTIONS = 10;
const FIRST = 31_490;
const SECOND = 31_491;
const EXTERNAL = ['203.0.113.230', '2001:db8:113::230'];

let env: Environment;
let backends: string[];

beforeAll(async () => {
	env = await Environment.shared('outlive');
	await env.apply(deployment('kept', 3));
	await env.podsReady('kept', 3);
	backends = await env.podNames('kept');
	await env.driver.routeOutside?.(EXTERNAL.map((address) => [address, env.nodes[1]!]));
});

afterAll(async () => env?.[Symbol.asyncDispose]());

const ports = (nodePort?: number) => [
	{ name: 'http', port: 80, targetPort: 8080, ...(nodePort !== undefined && { nodePort }) },
];
const open = (spec: object) =>
	env.apply(service('kept', { selector: { app: 'kept' }, ...DUAL_STACK, ...spec }));
const nodePort = (port: number) => ({ type: 'NodePort', ports: ports(port), externalIPs: EXTERNAL });
const held = () => env.prober('outside');

/** NodePorts of every node and external addresses, in both families. */
async function targets(): Promise<Target[]> {
	const view = await env.service('kept');
	const external = env.driver.routeOutside ? view.at(EXTERNAL, false) : [];
	return [...env.nodes.flatMap((node) => view.nodePorts(node, false)), ...external];
}

describe('TCP connections from outside, each with requests all the time', () => {
	const CHANGES: readonly { name: string; change: () => Promise<void>; after: object }[] = [
		{
			name: 'the Service is deleted and created again within a second',
			change: async () => {
				await env.kubectl('delete', 'service', 'kept', '--wait=false');
				await open(nodePort(FIRST));
			},
			after: nodePort(FIRST),
		},
		{
			name: 'the Service is deleted',
			change: async () => void (await env.kubectl('delete', 'service', 'kept')),
			after: nodePort(FIRST),
		},
		{
			name: 'its nodePort is another',
			change: () => open(nodePort(SECOND)),
			after: nodePort(SECOND),
		},
		{
			name: 'it is of type ClusterIP, without external addresses',
			change: () => open({ type: 'ClusterIP', ports: ports(), externalIPs: [] }),
			after: nodePort(FIRST),
		},
	];

	it.each(CHANGES)('go on when $name', async ({ name, change, after }) => {
		await open(nodePort(FIRST));
		const all = await targets();
		expect(all.length).toBeGreaterThan(1);
		for (const target of all) await env.reaches('outside', target, backends);
		for (const [i, { host, port }] of all.entries())
			await (await held()).hold(`${name} ${i}`, host, port, CONNECTIONS);
		await change();
		// longer than agents need to sync, and longer than the delay before they close sockets of
		// removed backends
		await new Promise((resolve) => setTimeout(resolve, 3000));
		for (const [i] of all.entries()) {
			const { connections, requests, lost } = await (await held()).release(`${name} ${i}`);
			expect(lost).toEqual([]);
			expect(connections).toBe(CONNECTIONS);
			expect(requests).toBeGreaterThan(CONNECTIONS);
		}
		// new connections use the current Service
		await open(after);
		for (const target of await targets()) await env.reaches('outside', target, backends);
	});
});
