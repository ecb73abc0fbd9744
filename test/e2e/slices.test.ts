import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment, type From, type Json } from './support/environment.ts';
import { DUAL_STACK, pod, service } from './support/objects.ts';
import { familyOf } from './support/service-view.ts';
import { eventually } from './support/wait.ts';

let env: Environment;
let pods: From[];

beforeAll(async () => {
	env = await Environment.shared('slices');
	pods = await env.clients();
});

afterAll(async () => env?.[Symbol.asyncDispose]());

const NAME = 'kubernetes.io/service-name';
const slicesOf = async (name: string): Promise<Json[]> =>
	JSON.parse(await env.kubectl('get', 'endpointslices', '-l', `${NAME}=${name}`, '-o', 'json')).items;

/** A manually managed EndpointSlice. */
const slice = (name: string, labels: Record<string, string>, address: string, port = 8080) => ({
	apiVersion: 'discovery.k8s.io/v1',
	kind: 'EndpointSlice',
	metadata: { name, labels },
	addressType: familyOf(address) === 'v4' ? 'IPv4' : 'IPv6',
	endpoints: [{ addresses: [address], conditions: { ready: true } }],
	ports: [{ name: 'http', port, protocol: 'TCP' }],
});

/** Collects the lines of `kubectl get -w`, each with its time of arrival. */
function watch(...args: string[]): { lines: { text: string; at: number }[]; stop: () => void } {
	const common = ['--kubeconfig', env.driver.kubeconfig, '--namespace', env.namespace, 'get', '-w'];
	const child = spawn('kubectl', [...common, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
	const lines: { text: string; at: number }[] = [];
	createInterface({ input: child.stdout }).on('line', (text) => lines.push({ text, at: performance.now() }));
	return { lines, stop: () => child.kill() };
}

describe('EndpointSlices', () => {
	it('of Service kubernetes say what its Endpoints say (A-100)', async () => {
		const get = async (...args: string[]) =>
			JSON.parse(await env.kubectl('get', '-n', 'default', ...args, '-o', 'json'));
		const { subsets } = await get('endpoints', 'kubernetes');
		const { items } = await get('endpointslices', '-l', `${NAME}=kubernetes`);
		const ofEndpoints = subsets.flatMap(({ addresses, ports }: Json) =>
			addresses.flatMap(({ ip }: Json) => ports.map(({ name, port }: Json) => `${ip} ${name} ${port}`)),
		);
		const { addressType } = items.find(({ metadata }: Json) => metadata.name === 'kubernetes');
		const ofSlices = items
			.filter((item: Json) => item.addressType === addressType)
			.flatMap(({ endpoints, ports }: Json) =>
				endpoints.flatMap(({ addresses }: Json) =>
					ports.map(({ name, port }: Json) => `${addresses[0]} ${name} ${port}`),
				),
			);
		expect(ofEndpoints.length).toBeGreaterThan(0);
		expect(ofSlices.sort()).toEqual(ofEndpoints.sort());
	});

	it('of a Service that selects nothing are one, empty and managed, and go with it (A-101)', async () => {
		await env.apply(service('nothing'));
		const { value: found } = await eventually('there is a slice', async () => {
			const slices = await slicesOf('nothing');
			return slices.length > 0 ? slices : undefined;
		});
		expect(found).toHaveLength(1);
		const [{ metadata, endpoints, ports }] = found;
		expect([endpoints ?? [], ports ?? []]).toEqual([[], []]);
		expect(metadata.labels['endpointslice.kubernetes.io/managed-by']).toBe('endpointslice-controller.k8s.io');
		await env.kubectl('delete', 'service', 'nothing');
		await eventually(
			'its slices are gone',
			async () => ((await slicesOf('nothing')).length === 0 ? true : undefined),
			90_000,
		);
	});

	it('written by hand are made, got, listed, watched, patched, replaced and deleted (A-103)', async () => {
		const marked = (mark: string) => slice(`hand-${mark}`, { by: 'hand', mark }, '10.0.0.1');
		const changes = ['endpointslices', '-l', 'by=hand', '--output-watch-events', '-o'];
		const events = watch(
			...changes,
			'jsonpath={.type} {.object.metadata.name} {.object.metadata.labels.more}{"\\n"}',
		);
		try {
			const list = async (...args: string[]) => {
				const { items } = JSON.parse(await env.kubectl('get', 'endpointslices', ...args, '-o', 'json'));
				return items
					.map(({ metadata }: Json) => metadata.name)
					.filter((name: string) => name.startsWith('hand-'));
			};
			await env.apply(marked('a'), marked('b'), marked('c'));
			expect((await env.get('endpointslice', 'hand-a')).endpoints[0].addresses).toEqual(['10.0.0.1']);
			expect(await list()).toEqual(['hand-a', 'hand-b', 'hand-c']);
			expect(await list('-l', 'mark=b')).toEqual(['hand-b']);
			expect(await list('--all-namespaces')).toEqual(['hand-a', 'hand-b', 'hand-c']);
			const labels = JSON.stringify({ metadata: { labels: { more: 'patched' } } });
			await env.kubectl('patch', 'endpointslice', 'hand-a', '--type=merge', '-p', labels);
			const stored = await env.get('endpointslice', 'hand-b');
			stored.metadata.labels.more = 'replaced';
			await env.kubectlInput(JSON.stringify(stored), 'replace', '-f', '-');
			await env.kubectl('delete', 'endpointslice', 'hand-a');
			await expect(env.get('endpointslice', 'hand-a')).rejects.toThrow('NotFound');
			await env.kubectl('delete', 'endpointslices', '-l', 'by=hand');
			expect(await list()).toEqual([]);
			await eventually('the watch saw all of it', async () => {
				const seen = new Set(events.lines.map(({ text }) => text.trim()));
				const made = ['a', 'b', 'c'].map((mark) => `ADDED hand-${mark}`);
				const changed = ['MODIFIED hand-a patched', 'MODIFIED hand-b replaced'];
				const gone = ['DELETED hand-a patched', 'DELETED hand-b replaced', 'DELETED hand-c'];
				const missing = [...made, ...changed, ...gone].filter((line) => !seen.has(line));
				if (missing.length === 0) return true;
				throw new Error(`It did not see ${missing}, but ${[...seen]}`);
			});
		} finally {
			events.stop();
		}
	});

	it('written by hand for a Service without a selector: all their endpoints answer, with their own ports (A-104)', async () => {
		await env.apply(pod('first'), pod('second', { http: 8090, udp: 8091 }));
		await env.podsReady('first', 1);
		await env.podsReady('second', 1);
		const labels = { [NAME]: 'manual' };
		const of = async (name: string, port: number) =>
			(await env.addressesOf(name)).map((address) =>
				slice(`manual-${name}-${familyOf(address)}`, labels, address, port),
			);
		const ports = [{ name: 'http', port: 80 }];
		await env.apply(
			service('manual', { selector: undefined, ports, ...DUAL_STACK }),
			...(await of('first', 8080)),
			...(await of('second', 8090)),
		);
		const view = await env.service('manual');
		await env.allReach(pods, view.clusterIPs(), ['first', 'second']);
	});

	it.each(['service.kubernetes.io/headless=', 'service.kubernetes.io/service-proxy-name=other'])(
		'that get the label %s are left out, and are back when it goes (R-A4)',
		async (label) => {
			const view = await env.service('manual');
			const slices = ['manual-first-v4', 'manual-first-v6'];
			await env.kubectl('label', 'endpointslices', ...slices, label);
			await env.allReach(pods, view.clusterIPs(), ['second']);
			await env.kubectl('label', 'endpointslices', ...slices, `${label.split('=')[0]}-`);
			await env.allReach(pods, view.clusterIPs(), ['first', 'second']);
		},
	);
});

describe('Endpoints', () => {
	it('of 100 Services are there in time after each is made: half within 20 s, 99 of 100 within 100 s (A-45)', async () => {
		await env.apply(pod('quick'));
		await env.podsReady('quick', 1);
		const made = watch('services', '-o', 'jsonpath={.metadata.name}{"\\n"}');
		const seen = watch('endpoints', '-o', 'jsonpath={.metadata.name} {.subsets[0].addresses[0].ip}{"\\n"}');
		try {
			const names = Array.from({ length: 100 }, (_, i) => `quick-${i}`);
			const ports = [{ port: 80, targetPort: 8080 }];
			await env.apply(...names.map((name) => service(name, { selector: { app: 'quick' }, ports })));
			const { value: delays } = await eventually(
				'all have Endpoints',
				async () => {
					const found = names.map((name) => {
						const start = made.lines.find(({ text }) => text === name);
						const end = seen.lines.find(({ text }) => text.startsWith(`${name} 1`));
						return start && end ? end.at - start.at : undefined;
					});
					return found.every((ms) => ms !== undefined) ? found.sort((a, b) => a - b) : undefined;
				},
				100_000,
			);
			const percentile = (p: number) => delays[Math.ceil((p / 100) * delays.length) - 1]!;
			console.log(
				`Endpoints after ${[50, 90, 99].map((p) => `${Math.round(percentile(p))} ms (p${p})`).join(', ')}`,
			);
			expect(percentile(50)).toBeLessThan(20_000);
			expect(percentile(90)).toBeLessThan(50_000);
			expect(percentile(99)).toBeLessThan(100_000);
		} finally {
			made.stop();
			seen.stop();
		}
	}, 120_000);
});
