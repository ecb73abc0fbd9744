import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hasKubectl, type Kubectl, openKubectl } from './support/kubectl-server.ts';

const present = hasKubectl();
const DIRECTORY = join(import.meta.dirname, '../manifests');
const MICROSERVICES = join(import.meta.dirname, 'manifests/microservices-demo.yaml');
const files = readdirSync(DIRECTORY)
	.filter((name) => !name.endsWith('.md'))
	.map((name) => join(DIRECTORY, name))
	.concat(MICROSERVICES);

let cluster: Kubectl;
beforeEach(async () => {
	cluster = await openKubectl();
});
afterEach(() => cluster.close());

const count = (resource: string): number => cluster.api.objects.list(resource).length;
/** The number of Services without default/kubernetes. */
const services = (): number => count('services') - 1;
const service = (name: string) => cluster.api.objects.get('services', 'default', name)?.spec;

describe('public manifests, unmodified', { skip: !present }, () => {
	test('there are 21', () => expect(files).toHaveLength(21));

	test.each(files.map((file) => [basename(file), file]))(
		'%s is applied, and applied again changes nothing',
		async (_name, file) => {
			const lines = (await cluster.ok(`apply -f ${file}`)).trim().split('\n');
			expect(lines.every((line) => line.endsWith(' created'))).toBe(true);
			const { revision } = cluster.api.objects.store;
			await cluster.ok(`apply -f ${file}`);
			expect(cluster.api.objects.store.revision).toBe(revision);
		},
	);

	test('microservices-demo has 12 Services, 12 Deployments and 11 ServiceAccounts', async () => {
		await cluster.ok(`apply -f ${MICROSERVICES}`);
		// Each of the four namespaces has its default ServiceAccount
		expect([services(), count('deployments'), count('serviceaccounts')]).toEqual([12, 12, 11 + 4]);
		expect(service('emailservice')!.ports![0]).toMatchObject({ port: 5000, targetPort: 8080 });
		expect(service('frontend-external')).toMatchObject({
			type: 'LoadBalancer',
			ports: [{ nodePort: expect.any(Number) }],
		});
	});

	test('coredns-ci.dns-test has 5 Namespaces, 19 Services, 5 Endpoints, 4 Pods and 7 Deployments', async () => {
		await cluster.ok(`apply -f ${join(DIRECTORY, 'coredns-ci.dns-test.yaml')}`);
		const counts = ['namespaces', 'endpoints', 'pods', 'deployments'].map(count);
		expect([services(), ...counts]).toEqual([19, 5 + 4, 5, 4, 7]);
	});

	test.each([
		['website.dual-stack-default-svc.yaml', 'SingleStack', ['IPv4']],
		['website.dual-stack-preferred-svc.yaml', 'PreferDualStack', ['IPv4', 'IPv6']],
		['website.dual-stack-ipfamilies-ipv6.yaml', 'SingleStack', ['IPv6']],
	])('%s is %s %j (C-04)', async (file, ipFamilyPolicy, ipFamilies) => {
		await cluster.ok(`apply -f ${join(DIRECTORY, file)}`);
		const spec = service('my-service')!;
		expect(spec).toMatchObject({ ipFamilyPolicy, ipFamilies });
		expect(spec.clusterIPs).toHaveLength(ipFamilies.length);
	});

	test('dumped, deleted and created from the dump, the Services are the same', async () => {
		await cluster.ok(`apply -f ${MICROSERVICES}`);
		const before = cluster.api.objects.list('services').map(({ spec }) => spec);
		const dump = JSON.parse(await cluster.ok('get services,deployments -o json'));
		for (const { metadata } of dump.items) delete metadata.resourceVersion;
		await cluster.ok(`delete -f ${MICROSERVICES}`);
		expect(services()).toBe(0);
		const mine = {
			...dump,
			items: dump.items.filter((item: { metadata: { name: string } }) => item.metadata.name !== 'kubernetes'),
		};
		await cluster.ok('create -f -', JSON.stringify(mine));
		expect(cluster.api.objects.list('services').map(({ spec }) => spec)).toEqual(before);
		expect(count('deployments')).toBe(12);
	});
});
