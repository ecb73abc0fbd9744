import { afterAll, afterEach, beforeAll, describe, it } from 'vitest';
import { Environment, type From } from './support/environment.ts';
import { DUAL_STACK, LINGERING, pod, service } from './support/objects.ts';
import { TCP_AND_UDP } from './support/service-view.ts';

let env: Environment;
let pods: From[];

beforeAll(async () => {
	env = await Environment.shared('terminating');
	pods = await env.clients();
});

/** Lingering pods end with their test. */
afterEach(async () => {
	await env.kubectl('delete', 'pod', '-l', 'lingers', '--grace-period=0', '--force', '--ignore-not-found');
});

afterAll(async () => env?.[Symbol.asyncDispose]());

const NODE_PORT = { type: 'NodePort', ...DUAL_STACK };

/** Starts a server on the first node that continues to serve after it receives SIGTERM. */
async function lingering(name: string, options: { unready?: boolean; probe?: boolean } = {}): Promise<void> {
	const labels = { app: name, lingers: '' };
	await env.apply(pod(name, { node: env.nodes[0]!.name, labels, ...LINGERING, ...options }));
	if (!options.unready) await env.podsReady(name, 1);
}

const apply = async (name: string, spec: object) => {
	await env.apply(service(name, { ...spec }));
	return env.service(name);
};

describe('publishNotReadyAddresses', () => {
	it('decides whether a pod that is not ready is reached; with it, one that ends is too (A-21)', async () => {
		const view = await apply('tolerant', { publishNotReadyAddresses: true, ...DUAL_STACK });
		await lingering('tolerant', { unready: true });
		const targets = [...view.clusterIPs(), ...view.clusterIPs(true)];
		const publish = (publishNotReadyAddresses: boolean) =>
			env.patch('service', 'tolerant', { spec: { publishNotReadyAddresses } });
		await env.allReach(pods, targets, ['tolerant']);
		await publish(false);
		await env.allFail(pods, targets, 'ECONNREFUSED');
		await publish(true);
		await env.terminate('tolerant');
		await env.allReach(pods, targets, ['tolerant']);
	});

	it('a pod that was never ready and ends is reached by ClusterIP and every NodePort (A-22)', async () => {
		const view = await apply('both', { ...NODE_PORT, publishNotReadyAddresses: true });
		await lingering('both', { unready: true });
		for (const udp of TCP_AND_UDP) await env.allReach(pods, view.clusterIPs(udp), ['both']);
		await env.terminate('both');
		for (const udp of TCP_AND_UDP) {
			const nodePorts = env.nodes.flatMap((node) => view.nodePorts(node, udp));
			await env.allReach(
				[...pods, { node: env.nodes[1]!.name }],
				[...view.clusterIPs(udp), ...nodePorts],
				['both'],
			);
			await env.allReach(['outside'], nodePorts, ['both']);
		}
	});
});

describe('an endpoint that ends and serves', () => {
	it('is used by pods and processes of every node when there is no other (A-38)', async () => {
		const view = await apply('last', DUAL_STACK);
		await lingering('last');
		await env.terminate('last');
		const places = [...pods, ...env.hosts()];
		for (const udp of TCP_AND_UDP) await env.allReach(places, view.clusterIPs(udp), ['last']);
	});

	it('is used on its own node only under internalTrafficPolicy Local (A-39)', async () => {
		const view = await apply('inside', { internalTrafficPolicy: 'Local', ...DUAL_STACK });
		await lingering('inside');
		await env.terminate('inside');
		for (const udp of TCP_AND_UDP) {
			await env.allReach([pods[0]!], view.clusterIPs(udp), ['inside']);
			await env.allFail(pods.slice(1), view.clusterIPs(udp), 'timeout');
		}
	});

	it('is reached through the NodePort of every node under externalTrafficPolicy Cluster (A-40)', async () => {
		const view = await apply('wide', NODE_PORT);
		await lingering('wide');
		await env.terminate('wide');
		for (const udp of TCP_AND_UDP) {
			const targets = env.nodes.flatMap((node) => view.nodePorts(node, udp));
			await env.allReach([...pods, 'outside'], targets, ['wide']);
		}
	});

	it('is reached through the NodePort of its own node only from outside under externalTrafficPolicy Local', async () => {
		const view = await apply('narrow', { ...NODE_PORT, externalTrafficPolicy: 'Local' });
		await lingering('narrow');
		await env.terminate('narrow');
		for (const udp of TCP_AND_UDP) {
			const [here, ...others] = env.nodes.map((node) => view.nodePorts(node, udp));
			await env.allReach(['outside'], here!, ['narrow']);
			await env.allFail(['outside'], others.flat(), 'timeout');
		}
	});

	it('gets nothing new while another one is ready (B-20)', async () => {
		const view = await apply('old', { selector: { group: 'mixed' }, ...NODE_PORT });
		const labels = { lingers: '', group: 'mixed' };
		const [first, second] = env.nodes;
		await env.apply(pod('old', { node: first!.name, labels: { app: 'old', ...labels }, ...LINGERING }));
		await env.podsReady('old', 1);
		await env.terminate('old');
		await env.allReach(pods, view.clusterIPs(), ['old']);
		await env.apply(pod('new', { node: second!.name, labels: { app: 'new', ...labels } }));
		for (const udp of TCP_AND_UDP) {
			await env.allReach(pods, view.clusterIPs(udp), ['new']);
			await env.allReach(
				['outside'],
				env.nodes.flatMap((node) => view.nodePorts(node, udp)),
				['new'],
			);
		}
	});

	it('can be reached at its own address and reach Services itself (A-127)', async () => {
		await lingering('ending', { probe: true });
		const from = { pod: 'ending' };
		await env.prober(from);
		const view = await apply('ending', DUAL_STACK);
		await env.terminate('ending');
		for (const host of await env.addressesOf('ending'))
			await env.allReach(pods, [{ host, port: 8080 }], ['ending']);
		await env.allReach([from], view.clusterIPs(), ['ending']);
	});
});
