import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment, type From, type Json, type Target } from './support/environment.ts';
import { Flows } from './support/flows.ts';
import { DUAL_STACK, deployment, pod, service } from './support/objects.ts';
import type { ServiceView } from './support/service-view.ts';
import { eventually } from './support/wait.ts';

const REPLICAS = 10;
const ROLLOUTS = 3;
const NODE_PORT = { type: 'NodePort', ...DUAL_STACK };
/** Interval between two requests of one client to one address. */
const EVERY_MS = 30;
/**
 * Another backend answers a flow within this time after its backend is removed. A-60 allows a
 * minute. Usual are tens of milliseconds, and a second on a busy machine.
 */
const FLOW_LIMIT_MS = 5000;

let env: Environment;
let pods: From[];
let hosts: From[];

beforeAll(async () => {
	env = await Environment.shared('rolling');
	pods = await env.clients();
	hosts = env.hosts();
});

afterAll(async () => env?.[Symbol.asyncDispose]());

describe('rolling a Deployment', () => {
	it('fails no request to its Service while it is rolled three times: pods, nodes, outside, TCP and UDP, both families', async () => {
		await env.apply(deployment('rolled', REPLICAS, { serveOn: 2 }), service('rolled', NODE_PORT));
		await env.podsReady('rolled', REPLICAS);
		const view = await env.service('rolled');
		const inside = [...view.clusterIPs(), ...view.clusterIPs(true)];
		const nodePorts = env.nodes.flatMap((node) => [...view.nodePorts(node), ...view.nodePorts(node, true)]);
		const clients: [From, Target[]][] = [
			...[...pods, ...hosts].map((from): [From, Target[]] => [from, inside]),
			['outside', nodePorts],
		];
		for (const [from, targets] of clients) for (const target of targets) await ready(from, target);
		for (const [from, targets] of clients) await (await env.prober(from)).stream('rolled', targets, EVERY_MS);

		let before = await env.podNames('rolled');
		for (let i = 0; i < ROLLOUTS; i++) {
			const start = performance.now();
			// kubectl refuses a second restart within the same second
			await eventually('the Deployment is told to restart', async () => {
				await env.kubectl('rollout', 'restart', 'deployment/rolled');
				return true;
			});
			await env.kubectl('rollout', 'status', 'deployment/rolled', '--timeout=60s');
			console.log(`rollout ${i + 1} of ${REPLICAS} pods took ${Math.round(performance.now() - start)} ms`);
			const after = await env.podNames('rolled');
			expect(after.filter((name) => before.includes(name))).toEqual([]);
			before = after;
		}
		// Include the last moment of the last old pod
		const inAll = async () => (await env.get('pods')).items.filter(isRolled).length === REPLICAS || undefined;
		await eventually('the old pods are gone', inAll);

		const reports = await Promise.all(
			clients.map(async ([from]) => (await env.prober(from)).streamed('rolled')),
		);
		const total = reports.reduce((sum, { requests }) => sum + requests, 0);
		const slowest = Math.max(...reports.map(({ slowestMs }) => slowestMs));
		const failures = reports.flatMap((report) => report.failures);
		console.log(`${total} requests, ${failures.length} failed, the slowest took ${Math.round(slowest)} ms`);
		expect(failures).toEqual([]);
		for (const { requests } of reports) expect(requests).toBeGreaterThan(100);
	}, 60_000);
});

const isRolled = ({ metadata }: Json) => metadata.labels.app === 'rolled';

const ready = (from: From, target: Target) =>
	eventually(`${JSON.stringify(from)} is answered by ${target.host}`, async () => {
		const prober = await env.prober(from);
		const [answer] = target.udp
			? await prober.udp(target.host, target.port)
			: await prober.http(target.host, target.port);
		return answer?.body === undefined ? undefined : true;
	});

describe('a UDP client that keeps its source port: pod, node, outside, both families', () => {
	let flows: Flows;

	const udpPod = (name: string, i: number, app = 'udp') =>
		pod(name, { node: env.nodes[i]!.name, labels: { app } });

	/**
	 * A pod and a node use the ClusterIPs. The outside client uses NodePorts of a node without a
	 * local backend.
	 */
	const places = (view: ServiceView): [From, Target[]][] => [
		[pods[0]!, view.clusterIPs(true)],
		[hosts[0]!, view.clusterIPs(true)],
		['outside', view.nodePorts(env.nodes[0]!, true)],
	];

	beforeAll(async () => {
		await env.apply(udpPod('one', 1), service('udp', NODE_PORT));
		await env.podsReady('udp', 1);
		flows = await Flows.start(env, places(await env.service('udp')));
	});

	/** Replaces the pod `old` by `next` and waits until the flows follow. */
	async function replace(old: string, next: string, ...how: string[]): Promise<void> {
		await flows.answeredBy(old);
		await env.apply(udpPod(next, 2));
		await env.podsReady('udp', 2);
		await env.kubectl('delete', 'pod', old, ...how);
		await flows.answeredBy(next);
		const gaps = await flows.gaps(old, next);
		console.log([...gaps].map(([name, ms]) => `${name}: ${Math.round(ms)} ms without an answer`).join('\n'));
		for (const ms of gaps.values()) expect(ms).toBeLessThan(FLOW_LIMIT_MS);
	}

	it('is answered by another backend soon after the end of its own (A-60, A-61, A-63)', () =>
		replace('one', 'two', '--wait=false'));

	it('so too when the backend is gone at once, without a grace period (A-60, A-61, A-63)', () =>
		replace('two', 'three', '--grace-period=0', '--force'));

	it('leaves a backend that is not ready any more, where TCP connections stay (R-A7)', async () => {
		const gated = pod('gated', { node: env.nodes[1]!.name, labels: { app: 'gate' }, gated: true });
		await env.apply(gated, service('gate', NODE_PORT));
		await eventually('the gate opens', () => env.gate('gated', true).then(() => true));
		await env.podsReady('gate', 1);
		const view = await env.service('gate');
		const moving = await Flows.start(env, places(view), 9200);
		await moving.answeredBy('gated');
		const holds = [
			{ from: pods[0]!, target: view.clusterIPs()[0]! },
			{ from: hosts[0]!, target: view.clusterIPs()[1]! },
			{ from: 'outside' as const, target: view.nodePorts(env.nodes[0]!)[0]! },
		];
		for (const { from, target } of holds) {
			await env.reaches(from, target, ['gated']);
			await (await env.prober(from)).hold('kept', target.host, target.port, 5);
		}
		await env.apply(udpPod('open', 2, 'gate'));
		await env.podsReady('gate', 2);
		await env.gate('gated', false);
		await moving.answeredBy('open');
		for (const { from, target } of holds) {
			await env.reaches(from, target, ['open']);
			const { requests, lost } = await (await env.prober(from)).release('kept');
			expect(lost).toEqual([]);
			expect(requests).toBeGreaterThan(10);
		}
	});

	it('is answered when its Service is made anew, and by a pod once that is added, not before (F-42)', async () => {
		const { spec } = await env.service('udp');
		const { clusterIP, clusterIPs, ports } = spec;
		const anew = service('udp', { ...NODE_PORT, clusterIP, clusterIPs, ports });
		await env.kubectl('delete', 'service', 'udp');
		await env.apply(anew);
		await flows.answeredBy('three');

		await env.apply(udpPod('early', 1, 'nobody'), service('late', NODE_PORT));
		await env.podsReady('nobody', 1);
		const view = await env.service('late');
		const late = await Flows.start(env, places(view), 9100);
		for (const [from, targets] of places(view)) await env.allFail([from], targets, 'ECONNREFUSED');
		await env.kubectl('label', 'pod', 'early', 'app=late', '--overwrite');
		await late.answeredBy('early');
	});
});
