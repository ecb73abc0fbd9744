import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment, type Target } from './support/environment.ts';
import { client, SERVER_IMAGE } from './support/objects.ts';

let env: Environment;

const names = () => env.podNames('fast');

async function targets(): Promise<[from: 'outside' | { pod: string }, target: Target][]> {
	const { spec } = await env.get('service', 'fast');
	const overNode = env.nodes.map((node) => ({ host: node.v4!, port: spec.ports[0].nodePort }));
	return [
		[{ pod: 'client' }, { host: spec.clusterIP, port: 80 }],
		...overNode.map((target): ['outside', Target] => ['outside', target]),
	];
}

beforeAll(async () => {
	env = await Environment.open('convergence');
	await env.apply(client('client'));
	await env.podsReady('client', 1);
	// Start the probe processes before the measured time begins
	await env.prober('outside');
	await env.prober({ pod: 'client' });
	await env.kubectl(
		'create',
		'deployment',
		'fast',
		`--image=${SERVER_IMAGE}`,
		'--replicas=2',
		'--',
		'/agnhost',
		'netexec',
	);
	await env.podsReady('fast', 2);
});

afterAll(async () => env?.[Symbol.asyncDispose]());

/** Measures from the end of the command until all places reach exactly the expected pods. */
async function follows(...command: string[]): Promise<void> {
	await env.kubectl(...command);
	const start = performance.now();
	const pods = await names();
	for (const [from, target] of await targets()) await env.reaches(from, target, pods);
	const ms = performance.now() - start;
	console.log(
		`kubectl ${command.join(' ')}: traffic followed within ${Math.round(ms)} ms, the looking included`,
	);
	expect(ms).toBeLessThan(env.driver.convergenceMs + 1000);
}

describe('changes take effect in traffic (R-A1)', () => {
	it('expose', async () => {
		await follows('expose', 'deployment', 'fast', '--port=80', '--target-port=8080', '--type=NodePort');
	});

	it('scale up: the first answer of a new pod', async () => {
		const before = new Set(await names());
		const [[from, target]] = (await targets()) as [[{ pod: string }, Target]];
		const prober = await env.prober(from);
		await env.kubectl('scale', 'deployment/fast', '--replicas=6');
		const start = performance.now();
		let seen: string | undefined;
		while (seen === undefined && performance.now() - start < 30_000) {
			const answers = await prober.http(target.host, target.port, '/hostname', { count: 8 });
			expect(answers.filter(({ error }) => error)).toEqual([]);
			seen = answers.map(({ body }) => body!).find((body) => !before.has(body));
		}
		const ms = performance.now() - start;
		console.log(`a new pod answered ${Math.round(ms)} ms after kubectl scale`);
		expect(ms).toBeLessThan(env.driver.convergenceMs);
		await env.podsReady('fast', 6);
		for (const [place, each] of await targets()) await env.reaches(place, each, await names());
	});

	it('scale down: pods that end get no new connection', async () => {
		const [[from, target]] = (await targets()) as [[{ pod: string }, Target]];
		await env.kubectl('scale', 'deployment/fast', '--replicas=1');
		const start = performance.now();
		const prober = await env.prober(from);
		let last = 0;
		let hostnames = new Set<string>();
		while (performance.now() - start < env.driver.convergenceMs + 1000) {
			const answers = await prober.http(target.host, target.port, '/hostname', { count: 12 });
			expect(answers.filter(({ error }) => error)).toEqual([]);
			hostnames = new Set(answers.map(({ body }) => body!));
			if (hostnames.size > 1) last = performance.now() - start;
		}
		console.log(`the last answer of an ended pod came ${Math.round(last)} ms after kubectl scale`);
		expect(last).toBeLessThan(env.driver.convergenceMs);
		await env.podsReady('fast', 1);
		expect([...hostnames]).toEqual(await names());
	});

	it('delete: refused when the last pod is gone, nothing at the Service’s addresses when that is gone', async () => {
		const all = await targets();
		// Terminating pods serve where there are no others, until they end.
		await env.kubectl('delete', 'deployment', 'fast');
		await env.kubectl('wait', '--for=delete', 'pod', '-l', 'app=fast', '--timeout=60s');
		let start = performance.now();
		for (const [from, target] of all) await env.fails(from, target, 'ECONNREFUSED');
		expect(performance.now() - start).toBeLessThan(env.driver.convergenceMs);
		await env.kubectl('delete', 'service', 'fast');
		start = performance.now();
		for (const [from, target] of all.slice(1)) await env.fails(from, target);
		expect(performance.now() - start).toBeLessThan(env.driver.convergenceMs);
	});

	it('delete of a Service with pods', async () => {
		await env.kubectl('create', 'deployment', 'fast', `--image=${SERVER_IMAGE}`, '--', '/agnhost', 'netexec');
		await env.podsReady('fast', 1);
		await follows('expose', 'deployment', 'fast', '--port=80', '--target-port=8080', '--type=NodePort');
		const all = await targets();
		await env.kubectl('delete', 'service', 'fast');
		const start = performance.now();
		for (const [from, target] of all) await env.fails(from, target);
		const ms = performance.now() - start;
		console.log(`nothing answered ${Math.round(ms)} ms after kubectl delete service`);
		expect(ms).toBeLessThan(env.driver.convergenceMs);
	});
});
