/**
 * Applies all public manifests to one cluster. The control plane and controllers run, the pods do
 * not.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { down } from '../../standalone/cluster/down.ts';
import { readKubeconfig } from '../../standalone/cluster/kubeconfig.ts';
import { parseOptions } from '../../standalone/cluster/options.ts';
import { up } from '../../standalone/cluster/up.ts';
import { openWatch } from '../unit/api-client.ts';
import type { Json } from './support/environment.ts';
import { hasKubectl } from './support/kubectl-server.ts';
import { run } from './support/process.ts';
import { eventually } from './support/wait.ts';

const present = hasKubectl();
const DIRECTORY = join(import.meta.dirname, '../manifests');
const MICROSERVICES = join(import.meta.dirname, 'manifests/microservices-demo.yaml');
const WATCHED = [
	'/api/v1/services',
	'/api/v1/endpoints',
	'/apis/apps/v1/deployments',
	'/apis/apps/v1/statefulsets',
	'/apis/discovery.k8s.io/v1/endpointslices',
];

interface Source {
	path: string;
	/** Files without a namespace get their own, because some define the same Service. */
	namespace: string | undefined;
}

const sources: Source[] = readdirSync(DIRECTORY)
	.filter((name) => !name.endsWith('.md'))
	.map((name) => join(DIRECTORY, name))
	.concat(MICROSERVICES)
	.map((path, at) => ({
		path,
		namespace: /^\s*namespace:/m.test(readFileSync(path, 'utf8')) ? undefined : `file-${at}`,
	}));
const namespaceOf = (file: string): string => sources.find(({ path }) => basename(path) === file)!.namespace!;

describe('public manifests, unmodified, all in one cluster (H-01)', { skip: !present }, () => {
	const directory = mkdtempSync(join(tmpdir(), 'mlall-'));
	let port: number;
	const kubectl = (args: readonly string[], input?: string) =>
		run('kubectl', ['--kubeconfig', join(directory, 'kubeconfig'), ...args], input);
	const list = async (resource: string, namespace?: string): Promise<Json[]> =>
		JSON.parse(await kubectl(['get', resource, ...(namespace ? ['-n', namespace] : ['-A']), '-o', 'json']))
			.items;
	const revision = async (): Promise<string> =>
		JSON.parse(await kubectl(['get', '--raw', '/api/v1/services'])).metadata.resourceVersion;
	const applyAll = async (): Promise<string[]> => {
		const lines: string[] = [];
		for (const { path, namespace } of sources) {
			const out = await kubectl(['apply', ...(namespace ? ['-n', namespace] : []), '-f', path]);
			lines.push(...out.trim().split('\n'));
		}
		return lines;
	};
	/** Waits until no controller has anything left to write. */
	const settled = async () => {
		await kubectl([
			'rollout',
			'status',
			'deployment,statefulset',
			'-n',
			namespaceOf('guestbook-all-in-one.yaml'),
			'--timeout=30s',
		]);
		let last = '';
		await eventually(
			'nothing is written any more',
			async () => {
				const before = last;
				last = await revision();
				return before === last ? true : undefined;
			},
			60_000,
			1000,
		);
	};
	const specs = async () =>
		Object.fromEntries(
			(await list('services')).map(({ metadata, spec }) => [`${metadata.namespace}/${metadata.name}`, spec]),
		);

	beforeAll(async () => {
		const flags = {
			prefix: 'mlall',
			nodes: '2',
			families: 'v4,v6',
			state: directory,
			port: '0',
			net: false,
			agents: false,
		};
		port = (await up(parseOptions(flags), () => {})).port;
		for (const { namespace } of sources) if (namespace) await kubectl(['create', 'namespace', namespace]);
		const lines = await applyAll();
		expect(lines.filter((line) => !line.endsWith(' created'))).toEqual([]);
		await settled();
	}, 120_000);
	afterAll(async () => {
		await down({ prefix: 'mlall', directory });
		rmSync(directory, { recursive: true, force: true });
	});

	test('are 21 files', () => expect(sources).toHaveLength(21));

	test('have the Services, the selectors and the ports that their README tells of', async () => {
		const shop = await list('services', namespaceOf('microservices-demo.yaml'));
		expect(shop).toHaveLength(12);
		const by = (name: string) => shop.find(({ metadata }) => metadata.name === name).spec;
		expect(by('emailservice').ports[0]).toMatchObject({ port: 5000, targetPort: 8080 });
		for (const name of ['paymentservice', 'shippingservice']) expect(by(name).ports[0].port).toBe(50051);
		expect(by('frontend-external').selector).toEqual(by('frontend').selector);
		const [external, internal] = await Promise.all(
			['frontend-external', 'frontend'].map(async (name) =>
				JSON.parse(
					await kubectl([
						'get',
						'endpoints',
						name,
						'-n',
						namespaceOf('microservices-demo.yaml'),
						'-o',
						'json',
					]),
				),
			),
		);
		expect(external.subsets[0].addresses).toEqual(internal.subsets[0].addresses);

		const guestbook = await list('services', namespaceOf('guestbook-all-in-one.yaml'));
		const frontend = guestbook.find(({ metadata }) => metadata.name === 'frontend').spec;
		expect(frontend).toMatchObject({ type: 'NodePort', ports: [{ port: 80, nodePort: expect.any(Number) }] });
		const [named] = await list('services', namespaceOf('guestbook-go-service.yaml'));
		expect(named.spec.ports[0].targetPort).toBe('http-server');
		for (const file of ['cassandra-service.yaml', 'k8s-examples.minio-distributed-headless-service.yaml'])
			expect((await list('services', namespaceOf(file)))[0].spec.clusterIP).toBe('None');
		const [nginx] = await list('services', namespaceOf('website.statefulset-web.yaml'));
		expect(nginx).toMatchObject({ metadata: { name: 'nginx' }, spec: { clusterIP: 'None' } });
	});

	test('have fixed addresses, and Endpoints of both families as two slices', async () => {
		const all = await specs();
		const own = sources.flatMap(({ namespace }) => namespace ?? []).concat('default');
		const dns = Object.entries(all).filter(([key]) => !own.includes(key.split('/')[0]!));
		expect(dns).toHaveLength(19);
		for (const [, { clusterIP = 'None' }] of dns) expect(clusterIP).toMatch(/^(10\.96\.0\.\d+|None)$/);
		const mixed = (await list('endpoints')).filter(({ subsets = [] }) => {
			const ips: string[] = subsets.flatMap(({ addresses = [] }: Json) =>
				addresses.map(({ ip }: Json) => ip),
			);
			return ips.some((ip) => ip.includes(':')) && ips.some((ip) => !ip.includes(':'));
		});
		expect(mixed.length).toBeGreaterThan(0);
		for (const { metadata } of mixed) {
			const slices = (await list('endpointslices', metadata.namespace)).filter(
				(slice) => slice.metadata.labels['kubernetes.io/service-name'] === metadata.name,
			);
			expect(new Set(slices.map(({ addressType }) => addressType))).toEqual(new Set(['IPv4', 'IPv6']));
		}
	});

	test('applied again change nothing and send no watch event', async () => {
		const before = await revision();
		const { authority, identity } = readKubeconfig(join(directory, 'kubeconfig'));
		const tls = { ca: authority, ...identity };
		const watches = WATCHED.map((path) =>
			openWatch(port, `${path}?watch=1&resourceVersion=${before}`, {}, tls),
		);
		const lines = await applyAll();
		// For volumeClaimTemplates with server-side defaults, kubectl sends a patch to every API server
		expect(lines.filter((line) => !line.endsWith(' unchanged'))).toEqual(['statefulset.apps/web configured']);
		expect(await revision()).toBe(before);
		// The next event of each watch is this change
		await kubectl(['create', 'service', 'clusterip', 'marker', '--tcp=80', '-n', 'default']);
		const first = await watches[0]!.next();
		expect(first).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'marker' } } });
		await kubectl(['delete', 'service', 'marker', '-n', 'default']);
		for (const watch of watches) watch.close();
	}, 60_000);

	test('dumped, deleted and applied from the dump are the same', async () => {
		const before = await specs();
		const namespaces = sources.flatMap(({ namespace }) => namespace ?? []);
		const dump = JSON.parse(await kubectl(['get', 'services,deployments,statefulsets', '-A', '-o', 'json']));
		const items = dump.items.filter(({ metadata }: Json) => namespaces.includes(metadata.namespace));
		const file = join(directory, 'dump.json');
		writeFileSync(file, JSON.stringify({ ...dump, items }));
		const deployments = (await list('deployments')).length;
		await kubectl(['delete', '-f', file]);
		expect(Object.keys(await specs()).some((key) => namespaces.includes(key.split('/')[0]!))).toBe(false);
		await kubectl(['apply', '-f', file]);
		expect(await specs()).toEqual(before);
		expect(await list('deployments')).toHaveLength(deployments);
	}, 60_000);
});
