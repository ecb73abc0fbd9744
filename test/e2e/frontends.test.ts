import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment, type From, type Target } from './support/environment.ts';
import { DUAL_STACK, deployment, pod, service } from './support/objects.ts';
import { TCP_AND_UDP } from './support/service-view.ts';
import { eventually } from './support/wait.ts';

let env: Environment;
let pods: From[];
let hosts: From[];
let backends: string[];

beforeAll(async () => {
	env = await Environment.shared('frontends');
	pods = await env.clients();
	hosts = env.hosts();
	await env.apply(deployment('echo', 3));
	await env.podsReady('echo', 3);
	backends = await env.podNames('echo');
});

afterAll(async () => env?.[Symbol.asyncDispose]());

const apply = async (name: string, spec: object = {}) => {
	await env.apply(service(name, { selector: { app: 'echo' }, ...DUAL_STACK, ...spec }));
	return env.service(name);
};

describe('externalIPs', () => {
	const ADDRESSES = ['203.0.113.250', '2001:db8:113::250'];

	it('are reached from pods and nodes, and from outside by the node that it sends to, though no device has them (A-12)', async () => {
		const view = await apply('external', { externalIPs: ADDRESSES });
		await env.driver.routeOutside?.(ADDRESSES.map((address) => [address, env.nodes[1]!]));
		const outside = env.driver.routeOutside ? ['outside' as const] : [];
		for (const udp of TCP_AND_UDP)
			await env.allReach([...pods, ...hosts, ...outside], view.at(ADDRESSES, udp), backends);
	});

	it('answer nothing any more when the Service gives them up', async () => {
		const view = await env.service('external');
		await env.patch('service', 'external', { spec: { externalIPs: null } });
		for (const udp of TCP_AND_UDP) {
			await env.allFail(pods, view.at(ADDRESSES, udp));
			await env.allReach(pods, view.clusterIPs(udp), backends);
		}
	});
});

describe('a ServiceCIDR', () => {
	it('adds a range, whose addresses a Service may ask for and is reached at (A-127)', async () => {
		const cidrs = ['10.97.0.0/24', 'fd00:10:97::/120'];
		const metadata = { name: env.namespace };
		const { apiVersion, kind } = await env.get('servicecidr', 'kubernetes');
		await env.apply({ apiVersion, kind, metadata, spec: { cidrs } });
		try {
			const clusterIPs = ['10.97.0.17', 'fd00:10:97::17'];
			const asked = { clusterIP: clusterIPs[0], clusterIPs };
			// The API server rejects addresses of the range until the range is ready
			const { value: view } = await eventually('the Service is made', () => apply('ranged', asked));
			expect(view.spec.clusterIPs).toEqual(clusterIPs);
			for (const udp of TCP_AND_UDP) await env.allReach([...pods, ...hosts], view.clusterIPs(udp), backends);
		} finally {
			await env.kubectl('delete', 'service', 'ranged', '--ignore-not-found');
			await env.kubectl('delete', 'servicecidr', env.namespace);
		}
	});
});

describe('labels that take a Service away', () => {
	it.each([
		['service.kubernetes.io/headless', ''],
		['service.kubernetes.io/service-proxy-name', 'foo-bar'],
	])(
		'%s=%s: it answers neither labelled from the start nor later, again without, others always (A-25, R-A4)',
		async (label, value) => {
			const name = label.split('/')[1];
			const labelled = { metadata: { name: `${name}-off`, labels: { [label]: value } } };
			const base = service(`${name}-off`, { selector: { app: 'echo' }, type: 'NodePort', ...DUAL_STACK });
			await env.apply({ ...base, ...labelled });
			const off = await env.service(`${name}-off`);
			const toggled = await apply(`${name}-toggled`, { type: 'NodePort' });
			const up = await apply(`${name}-up`, { type: 'NodePort' });
			const nodePorts = (view: typeof up) => env.nodes.flatMap((node) => view.nodePorts(node));
			const serves = async (view: typeof up) => {
				await env.allReach(pods, view.clusterIPs(), backends);
				await env.allReach(['outside'], nodePorts(view), backends);
			};
			const isOff = async (view: typeof up) => {
				await env.allFail(pods, view.clusterIPs());
				await env.allFail(['outside'], nodePorts(view));
			};
			await serves(up);
			await serves(toggled);
			await isOff(off);
			await env.kubectl('label', 'service', `${name}-toggled`, `${label}=${value}`);
			await isOff(toggled);
			await env.kubectl('label', 'service', `${name}-toggled`, `${label}-`);
			await serves(toggled);
			await isOff(off);
			await serves(up);
		},
	);
});

describe('ports', () => {
	it('one number for TCP and UDP are two ports with backends of their own, at every address of both families (R-A8)', async () => {
		await env.apply(
			pod('http-only', { labels: { app: 'same' }, names: { web: 8085 }, http: 8085, udp: 8086 }),
			pod('udp-only', { labels: { app: 'same' }, names: { other: 8087 }, http: 8087, udp: 8088 }),
		);
		await env.podsReady('same', 2);
		// Named ports: each of the two pods has one of them
		const ports = [
			{ name: 'tcp', port: 53, targetPort: 'web', protocol: 'TCP', nodePort: 30_753 },
			{ name: 'udp', port: 53, targetPort: 8088, protocol: 'UDP', nodePort: 30_753 },
		];
		await env.apply(service('same', { type: 'NodePort', ports, ...DUAL_STACK }));
		const view = await env.service('same');
		const node = env.nodes[2]!;
		await env.allReach(pods, [...view.clusterIPs(), ...view.nodePorts(node)], ['http-only']);
		await env.allReach(['outside'], view.nodePorts(node), ['http-only']);
		await env.kubectl('delete', 'pod', 'http-only', '--grace-period=0', '--force');
		await env.allFail(pods, view.clusterIPs(), 'ECONNREFUSED');
		await env.allReach(pods, [...view.clusterIPs(true), ...view.nodePorts(node, true)], ['udp-only']);
		await env.allReach(['outside'], view.nodePorts(node, true), ['udp-only']);
	});
});

describe('pods', () => {
	it('reach each other directly over both families, TCP and UDP, and see each other’s addresses (A-91, A-127)', async () => {
		for (const name of backends) {
			for (const [i, host] of (await env.addressesOf(name)).entries()) {
				const targets: Target[] = [
					{ host, port: 8080 },
					{ host, port: 8081, udp: true },
				];
				await env.allReach(pods, targets, [name]);
				for (const [k, from] of pods.entries()) {
					const own = await env.addressesOf(`client-${env.nodes[k]!.name}`);
					for (const target of targets) expect(await env.sources(from, target)).toEqual([own[i]]);
				}
			}
		}
	});
});
