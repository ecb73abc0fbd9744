import { isIPv6 } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment, type Json } from './support/environment.ts';
import { client, DUAL_STACK, deployment, service } from './support/objects.ts';
import { eventually } from './support/wait.ts';

let env: Environment;
let backends: string[];

beforeAll(async () => {
	env = await Environment.open('dual-stack');
	await env.apply(deployment('echo', 2), client('client'));
	await env.podsReady('echo', 2);
	await env.podsReady('client', 1);
	backends = await env.podNames('echo');
});

afterAll(async () => env?.[Symbol.asyncDispose]());

const slices = async (name: string): Promise<Json[]> =>
	JSON.parse(
		await env.kubectl('get', 'endpointslices', '-l', `kubernetes.io/service-name=${name}`, '-o', 'json'),
	).items;

describe('dual-stack', () => {
	it('A-90: pods and nodes have an address of each family, the first of a pod is its podIP', async () => {
		const { status } = await env.get('pod', 'client');
		const ips: string[] = status.podIPs.map(({ ip }: Json) => ip);
		expect(ips[0]).toBe(status.podIP);
		expect(ips.map(isIPv6).sort()).toEqual([false, true]);
		for (const { v4, v6 } of env.nodes) expect([v4, v6].every((address) => address !== undefined)).toBe(true);
	});

	it.each([
		['by default one address, of the first family', {}, 'SingleStack', ['IPv4']],
		['IPv4 as asked for', { ipFamilies: ['IPv4'] }, 'SingleStack', ['IPv4']],
		['IPv6 as asked for', { ipFamilies: ['IPv6'] }, 'SingleStack', ['IPv6']],
		['both', DUAL_STACK, 'RequireDualStack', ['IPv4', 'IPv6']],
		[
			'both, IPv6 first',
			{ ...DUAL_STACK, ipFamilies: ['IPv6', 'IPv4'] },
			'RequireDualStack',
			['IPv6', 'IPv4'],
		],
	])(
		'%s: fields, slices and Endpoints, and every address answers (A-92, A-93, A-94, A-95)',
		async (title, spec, policy, families) => {
			const name = `families-${title
				.replaceAll(/[^a-z0-9]+/gi, '-')
				.slice(0, 20)
				.toLowerCase()
				.replace(/-$/, '')}`;
			await env.apply(service(name, { selector: { app: 'echo' }, ...spec }));
			const { spec: stored } = await env.get('service', name);
			expect(stored.ipFamilyPolicy).toBe(policy);
			expect(stored.ipFamilies).toEqual(families);
			expect(stored.clusterIPs[0]).toBe(stored.clusterIP);
			expect(stored.clusterIPs.map((ip: string) => (isIPv6(ip) ? 'IPv6' : 'IPv4'))).toEqual(families);
			for (const host of stored.clusterIPs)
				await env.reaches({ pod: 'client' }, { host, port: 80 }, backends);
			const types = (await slices(name)).map(({ addressType }) => addressType);
			expect(types.toSorted()).toEqual(families.toSorted());
			const { subsets } = await env.get('endpoints', name);
			for (const { ip } of subsets[0].addresses) expect(isIPv6(ip)).toBe(families[0] === 'IPv6');
		},
	);

	it('C-06: a Service that becomes dual-stack keeps its address and gains one, and gives it back', async () => {
		const object = service('grown', { selector: { app: 'echo' } });
		await env.apply(object);
		const { spec: before } = await env.get('service', 'grown');
		await env.kubectl('patch', 'service', 'grown', '-p', '{"spec":{"ipFamilyPolicy":"PreferDualStack"}}');
		const { spec: after } = await env.get('service', 'grown');
		expect(after.clusterIPs).toHaveLength(2);
		expect(after.clusterIP).toBe(before.clusterIP);
		for (const host of after.clusterIPs) await env.reaches({ pod: 'client' }, { host, port: 80 }, backends);
		const single = {
			spec: { ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv4'], clusterIPs: [before.clusterIP] },
		};
		await env.kubectl('patch', 'service', 'grown', '--type=merge', '-p', JSON.stringify(single));
		await env.fails({ pod: 'client' }, { host: after.clusterIPs[1], port: 80 });
		await env.reaches({ pod: 'client' }, { host: before.clusterIP, port: 80 }, backends);
		await eventually('the slices of the second family are gone', async () =>
			(await slices('grown')).every(({ addressType }) => addressType === 'IPv4') ? true : undefined,
		);
	});
});
