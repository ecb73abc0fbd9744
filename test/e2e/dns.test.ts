/** Looks up names of Services with dig, from pods with the resolv.conf that every pod has. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DigAnswer, dig } from './support/dig.ts';
import { Environment, type Json } from './support/environment.ts';
import { DUAL_STACK, deployment, type Manifest, pod, service } from './support/objects.ts';
import { run } from './support/process.ts';
import { eventually } from './support/wait.ts';

const ZONE = 'cluster.local';
let env: Environment;
/** `ns.svc.zone` of the tests' namespace. */
let domain: string;

beforeAll(async () => {
	env = await Environment.shared('dns');
	domain = `${env.namespace}.svc.${ZONE}`;
	await env.apply(
		deployment('web', 2),
		service('web', DUAL_STACK),
		service('set', { selector: { app: 'web' }, clusterIP: 'None', ...DUAL_STACK }),
		pod('asker'),
	);
	await env.podsReady('web', 2);
	await env.podsReady('asker', 1);
});
afterAll(() => env?.[Symbol.asyncDispose]());

const ask = (...args: string[]) => dig(env, 'asker', ...args);
const search = async (name: string, type = 'A') => (await ask('+search', name, type)).data;

/** Waits for the answer that results from a change of the API. */
async function becomes(args: string[], wanted: Partial<DigAnswer>): Promise<void> {
	await eventually(`dig ${args.join(' ')} gets ${JSON.stringify(wanted)}`, async () => {
		expect(await ask(...args)).toMatchObject(wanted);
		return true;
	});
}

const addresses = async (app: string, family: (ip: string) => boolean): Promise<string[]> => {
	const names = await env.podNames(app);
	return (await Promise.all(names.map((name) => env.addressesOf(name)))).flat().filter(family).sort();
};
const isV6 = (ip: string) => ip.includes(':');
const fetch = (host: string) =>
	env.kubectl('exec', 'asker', '-c', 'server', '--', 'curl', '-sm', '3', `http://${host}/hostname`);

describe('names of Services', () => {
	it('of the cluster itself are known in every pod (A-110)', async () => {
		const { items } = JSON.parse(await env.kubectl('get', 'services', '-n', 'default', '-o', 'json'));
		const { clusterIP } = items.find(({ metadata }: Json) => metadata.name === 'kubernetes').spec;
		for (const name of ['kubernetes.default', 'kubernetes.default.svc', `kubernetes.default.svc.${ZONE}`])
			expect(await search(name)).toEqual([clusterIP]);
	});

	it('have addresses, ports and the way back, with and without a ClusterIP (A-112)', async () => {
		const { spec } = await env.get('service', 'web');
		expect(await search(`web.${domain}`)).toEqual([spec.clusterIPs[0]]);
		expect(await search(`web.${domain}`, 'AAAA')).toEqual([spec.clusterIPs[1]]);
		expect(await search(`set.${domain}`)).toEqual(await addresses('web', (ip) => !isV6(ip)));
		expect(await search(`set.${domain}`, 'AAAA')).toEqual(await addresses('web', isV6));
		expect(await search(`_http._tcp.web.${domain}`, 'SRV')).toEqual([`0 100 80 web.${domain}.`]);
		const targets = (await addresses('web', () => true)).map((ip) => ip.replaceAll(/[.:]/g, '-'));
		expect(await search(`_http._tcp.set.${domain}`, 'SRV')).toEqual(
			targets.map((name) => `0 25 8080 ${name}.set.${domain}.`).sort(),
		);
		for (const ip of spec.clusterIPs) expect((await ask('-x', ip)).data).toEqual([`web.${domain}.`]);
	});

	it('are found by their beginnings (A-113)', async () => {
		const { clusterIP } = (await env.get('service', 'web')).spec;
		for (const name of ['web', `web.${env.namespace}`, `web.${env.namespace}.svc`])
			expect(await search(name)).toEqual([clusterIP]);
		expect(await search(`_http._tcp.web.${env.namespace}.svc`, 'SRV')).toEqual([`0 100 80 web.${domain}.`]);
	});

	it('are answered by the node to pods and to its own processes, by both families and transports', async () => {
		await env.apply(pod('host', { hostNetwork: true, http: 18_080, udp: 18_081 }));
		await env.podsReady('host', 1);
		const { items } = JSON.parse(await env.kubectl('get', 'services', '-n', 'kube-system', '-o', 'json'));
		const { clusterIPs } = items.find(({ metadata }: Json) => metadata.name === 'kube-dns').spec;
		const { clusterIP } = (await env.get('service', 'web')).spec;
		for (const from of ['asker', 'host']) {
			for (const server of clusterIPs as string[]) {
				for (const way of ['+notcp', '+tcp']) {
					const transport = way === '+tcp' ? 'TCP' : 'UDP';
					const answer = await dig(env, from, `@${server}`, way, `web.${domain}`);
					expect(answer).toMatchObject({ status: 'NOERROR', data: [clusterIP], transport });
				}
			}
		}
	});

	it('are given to a pod by its hostname and subdomain (A-114)', async () => {
		const named = pod('named', { labels: { app: 'named' } });
		Object.assign(named.spec, { hostname: 'dns-querier-2', subdomain: 'dns-test-service-2' });
		await env.apply(service('dns-test-service-2', { selector: { app: 'named' }, clusterIP: 'None' }), named);
		await env.podsReady('named', 1);
		const full = `dns-querier-2.dns-test-service-2.${domain}`;
		const [v4] = await env.addressesOf('named');
		await becomes([full], { data: [v4!] });
		expect((await ask('-x', v4!)).data).toEqual([`${full}.`]);
		expect(await env.kubectl('exec', 'named', '-c', 'server', '--', 'hostname', '-f')).toBe(`${full}\n`);
	});

	it('come and go with them (D-09)', async () => {
		await env.apply(service('brief', { selector: { app: 'web' } }));
		await becomes([`brief.${domain}`], { status: 'NOERROR' });
		const { clusterIP } = (await env.get('service', 'brief')).spec;
		await env.kubectl('delete', 'service', 'brief');
		await becomes([`brief.${domain}`], {
			status: 'NXDOMAIN',
			types: { answer: [], authority: ['SOA'], additional: [] },
		});
		await becomes(['-x', clusterIP], { status: 'NXDOMAIN' });
	});

	it('are answered again after the agent was killed', async () => {
		const { nodeName } = (await env.get('pod', 'asker')).spec;
		await env.driver.killAgent(nodeName);
		await env.driver.agentReady(nodeName);
		await becomes([`web.${domain}`], { status: 'NOERROR' });
	});
});

describe('type changes', () => {
	const created = (name: string, spec: object) => env.apply(service(name, spec as Record<string, unknown>));

	it('ExternalName to ClusterIP: it gets an address, and answers by its name (A-14)', async () => {
		await created('to-ip', {
			type: 'ExternalName',
			externalName: 'example.com',
			selector: undefined,
			ports: undefined,
		});
		await becomes([`to-ip.${domain}`, 'CNAME'], { data: ['example.com.'] });
		const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
		await env.patch('service', 'to-ip', {
			spec: { type: 'ClusterIP', externalName: null, selector: { app: 'web' }, ports },
		});
		const { clusterIP } = (await env.get('service', 'to-ip')).spec;
		await becomes([`to-ip.${domain}`], {
			data: [clusterIP],
			types: { answer: ['A'], authority: [], additional: [] },
		});
		const { value } = await eventually('it answers by its name', () => fetch('to-ip'));
		expect(await env.podNames('web')).toContain(value.trim());
	});

	it('ClusterIP to ExternalName: its address is gone, and the name leads to the other Service (A-16)', async () => {
		await created('to-name', { selector: { app: 'web' } });
		const change = { type: 'ExternalName', externalName: `web.${domain}`, clusterIP: null, clusterIPs: null };
		await env.patch('service', 'to-name', { spec: change });
		const { spec } = await env.get('service', 'to-name');
		expect(spec.clusterIP ?? '').toBe('');
		const { clusterIP } = (await env.get('service', 'web')).spec;
		await becomes([`to-name.${domain}`], { data: [clusterIP, `web.${domain}.`].sort() });
		expect(await env.podNames('web')).toContain((await fetch('to-name')).trim());
	});

	it('NodePort to ExternalName: address and nodePort are free at once, and the name leads on (A-17)', async () => {
		const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
		await created('was-port', { type: 'NodePort', selector: { app: 'web' }, ports });
		const { nodePort } = (await env.get('service', 'was-port')).spec.ports[0];
		const change = { type: 'ExternalName', externalName: `web.${domain}`, clusterIP: null, clusterIPs: null };
		await env.patch('service', 'was-port', { spec: { ...change, ports: [{ port: 80, nodePort: null }] } });
		const { spec } = await env.get('service', 'was-port');
		expect([spec.clusterIP ?? '', spec.ports[0].nodePort]).toEqual(['', undefined]);
		await created('has-port', {
			type: 'NodePort',
			selector: { app: 'web' },
			ports: [{ ...ports[0], nodePort }],
		});
		await becomes([`was-port.${domain}`, 'CNAME'], { data: [`web.${domain}.`] });
	});
});

it('pods of a StatefulSet have names, which follow them to another address (D-10)', async () => {
	await env.applyFile(fileURLToPath(new URL('../manifests/website.statefulset-web.yaml', import.meta.url)));
	const name = `web-0.nginx.${domain}`;
	const addressOf = async (): Promise<{ ip: string; uid: string }> => {
		const { metadata, status } = await env.get('pod', 'web-0');
		return { ip: status.podIP, uid: metadata.uid };
	};
	const { value: before } = await eventually('web-0 has an address', async () => {
		const found = await addressOf();
		return found.ip ? found : undefined;
	});
	await becomes([name], { data: [before.ip] });
	await becomes(['-x', before.ip], { data: [`${name}.`] });
	await env.kubectl('delete', 'pod', 'web-0', '--grace-period=0', '--force');
	const { value: after } = await eventually('web-0 has another address', async () => {
		const found = await addressOf();
		return found.ip && found.uid !== before.uid ? found : undefined;
	});
	expect(after.ip).not.toBe(before.ip);
	await becomes([name], { data: [after.ip] });
	await becomes(['-x', after.ip], { data: [`${name}.`] });
	await becomes(['-x', before.ip], { status: 'NXDOMAIN' });
});

describe('an answer of more than 512 octets (D-11)', () => {
	const name = () => `many.${domain}`;
	beforeAll(async () => {
		const endpoints = Array.from({ length: 60 }, (_, i) => ({ addresses: [`198.51.100.${i + 1}`] }));
		await env.apply(service('many', { clusterIP: 'None', selector: undefined }), {
			apiVersion: 'discovery.k8s.io/v1',
			kind: 'EndpointSlice',
			metadata: { name: 'many', labels: { 'kubernetes.io/service-name': 'many' } },
			addressType: 'IPv4',
			ports: [{ name: 'http', port: 80 }],
			endpoints,
		} as unknown as Manifest);
		await becomes([name()], { status: 'NOERROR' });
	});

	it('is cut without EDNS, and whole by TCP, which dig then takes', async () => {
		expect(await ask('+noedns', '+ignore', name())).toMatchObject({ cut: true, transport: 'UDP' });
		const whole = await ask('+noedns', name());
		expect([whole.data.length, whole.transport, whole.cut]).toEqual([60, 'TCP', false]);
	});

	it('goes by UDP where the client has room for 1232', async () => {
		const whole = await ask('+bufsize=1232', name());
		expect([whole.data.length, whole.transport]).toEqual([60, 'UDP']);
		expect(whole.size).toBeGreaterThan(512);
	});
});

describe("the manifest of CoreDNS's own tests", () => {
	const file = fileURLToPath(new URL('../manifests/coredns-ci.dns-test.yaml', import.meta.url));
	const all = (...args: string[]) => run('kubectl', ['--kubeconfig', env.driver.kubeconfig, ...args]);
	beforeAll(() => all('apply', '-f', file));
	afterAll(() => all('delete', '--wait=false', '--ignore-not-found', '-f', file));

	it('gives dig the answers of its vectors', async () => {
		const vectors = new URL('../vectors/dns.json', import.meta.url);
		const { cases } = JSON.parse(await readFile(vectors, 'utf8')) as { cases: Json[] };
		// its pod needs an image that cannot be pulled, but the standalone cluster accepts every image
		const rows = cases.filter(({ q }) => !q.startsWith('svc-unready.'));
		expect(rows).toHaveLength(11);
		for (const { q, type, rcode, answer } of rows)
			await becomes([q, type], { status: rcode, data: [...answer].sort() });
	});
});
