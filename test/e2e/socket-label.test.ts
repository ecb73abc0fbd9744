/**
 * A pod label disables socket translation. TC then translates the packets of the pod, so all
 * Services work as before.
 */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { Environment } from './support/environment.ts';
import { DUAL_STACK, deployment, pod, service } from './support/objects.ts';
import { TCP_AND_UDP } from './support/service-view.ts';
import { eventually } from './support/wait.ts';

const OFF = { 'maglane.io/socket-lb': 'off' };
/** Opens a connection, prints the peer address of the socket as the kernel has it, and closes. */
const PEER = (host: string) =>
	`exec 3<>/dev/tcp/${host}/80; ss -Htn state established | grep -v 127.0.0.1 | awk '{print $4}'`;

let env: Environment;
let clusterIPs: string[];

beforeAll(async () => {
	env = await Environment.shared('socket-label');
	await env.apply(
		deployment('web', 2),
		service('web', DUAL_STACK),
		pod('usual', { node: 'node1', probe: true }),
		pod('left-out', { node: 'node1', probe: true, labels: { app: 'left-out', ...OFF } }),
	);
	for (const [name, count] of [
		['web', 2],
		['usual', 1],
		['left-out', 1],
	] as const)
		await env.podsReady(name, count);
	clusterIPs = (await env.get('service', 'web')).spec.clusterIPs;
});

afterAll(() => env?.[Symbol.asyncDispose]());

/** The peer addresses of sockets that connect to the ClusterIP. */
async function peer(name: string, host: string): Promise<string> {
	const text = await env.kubectl('exec', name, '-c', 'server', '--', 'bash', '-c', PEER(host));
	return text.trim().replace(/^\[?(.*?)\]?:\d+$/, '$1');
}

const backendsOf = async (): Promise<string[]> => {
	const names = await env.podNames('web');
	return (await Promise.all(names.map((name) => env.addressesOf(name)))).flat();
};
const becomes = (name: string, left: boolean) =>
	eventually(`sockets of ${name} are ${left ? 'left out' : 'served'}`, async () => {
		const backends = await backendsOf();
		for (const host of clusterIPs) {
			const found = await peer(name, host);
			if (left ? found !== host : !backends.includes(found)) throw new Error(`${host} was ${found}`);
		}
		return true;
	});
const answers = async (name: string) => {
	const view = await env.service('web');
	const backends = await env.podNames('web');
	for (const udp of TCP_AND_UDP)
		for (const target of view.clusterIPs(udp)) await env.reaches({ pod: name }, target, backends);
};

describe('maglane.io/socket-lb=off', () => {
	it('on no pod: its sockets are connected to backends', async () => {
		await becomes('usual', false);
		await answers('usual');
	});

	it('on a pod: its sockets have the address that they dialled, and Services answer', async () => {
		await becomes('left-out', true);
		await answers('left-out');
	});

	it('taken from a running pod, and given to one: the next connections follow', async () => {
		await env.kubectl('label', 'pod', 'left-out', 'maglane.io/socket-lb-');
		await env.kubectl('label', 'pod', 'usual', 'maglane.io/socket-lb=off');
		await becomes('left-out', false);
		await becomes('usual', true);
		await answers('left-out');
		await answers('usual');
	});

	it('on a namespace: of all its pods', async () => {
		await env.kubectl('label', 'pod', 'usual', 'maglane.io/socket-lb-');
		await becomes('usual', false);
		await env.kubectl('label', 'namespace', env.namespace, 'maglane.io/socket-lb=off');
		for (const name of ['usual', 'left-out']) await becomes(name, true);
		await env.kubectl('label', 'namespace', env.namespace, 'maglane.io/socket-lb-');
		for (const name of ['usual', 'left-out']) await becomes(name, false);
	});
});
