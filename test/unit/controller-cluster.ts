import { pino } from 'pino';
import type { Clock } from '../../agent/base/clock.ts';
import { createRanges } from '../../standalone/alloc/service-strategy.ts';
import { Objects } from '../../standalone/api/objects.ts';
import { seed } from '../../standalone/api/seed.ts';
import { Store } from '../../standalone/api/store.ts';
import { createStrategies } from '../../standalone/api/strategies.ts';
import { type ControllersOptions, startControllers } from '../../standalone/controllers/start.ts';
import type { Deployment, KubeObject, Node, Pod, Service } from '../../standalone/port.ts';
import { timestamp } from '../../standalone/timestamp.ts';

/** A clock that a test advances. */
export class ManualClock implements Clock {
	#now = Date.parse('2026-01-01T00:00:00Z');
	readonly #timers = new Set<{ at: number; run: () => void }>();

	now = (): number => this.#now;

	after = (ms: number, run: () => void): (() => void) => {
		const timer = { at: this.#now + ms, run };
		this.#timers.add(timer);
		return () => void this.#timers.delete(timer);
	};

	advance(ms: number): void {
		this.#now += ms;
		for (const timer of [...this.#timers].sort((a, b) => a.at - b.at)) {
			if (timer.at > this.#now) continue;
			this.#timers.delete(timer);
			timer.run();
		}
	}
}

export interface TestCluster {
	api: Objects;
	clock: ManualClock;
	/** Resolves when the controllers have no work left. */
	settle: () => Promise<void>;
	/** Number of writes to the store so far. */
	writes: () => number;
	addNode: (name: string, zone?: string) => Node;
	/**
	 * Acts as all nodes once: starts scheduled pods and ends terminating ones.
	 * @returns the number of changes
	 */
	kubelet: (ready?: boolean) => number;
	/** Repeats kubelet() and settle() until nothing changes. */
	converge: () => Promise<void>;
	setReady: (pod: Pod, ready: boolean) => void;
	apply: (resource: string, object: KubeObject) => KubeObject;
	stop: () => void;
}

export function createTestCluster(options: Partial<ControllersOptions> = {}): TestCluster {
	const clock = new ManualClock();
	const store = new Store({ history: 1000, firstRevision: 1 });
	const serviceCidrs = ['10.96.0.0/16', 'fd00:10:96::/112'];
	const ranges = createRanges({
		families: ['IPv4', 'IPv6'],
		serviceCidrs,
		nodePortRange: '30000-32767',
		random: () => 0.5,
	});
	let count = 0;
	const uid = () => `uid-${++count}`;
	const strategies = createStrategies(ranges);
	const api = new Objects({ store, strategies, clock: clock.now, uid, random: Math.random });
	seed(api, { first: '10.96.0.1', serviceCidrs });
	let written = 0;
	store.subscribe(() => void written++);
	const abort = new AbortController();
	let suffixes = 0;
	const suffix = () => `s${(++suffixes).toString(36).padStart(4, '0')}`;
	const controllers = startControllers(
		api,
		{ log: pino({ level: 'silent' }), clock, suffix, ...options },
		abort.signal,
	);
	const settle = async () => {
		do await new Promise(setImmediate);
		while (!controllers.idle());
	};
	let pods = 0;
	const kubelet = (ready = true) => {
		let done = 0;
		for (const pod of api.list('pods')) {
			if (pod.metadata.deletionTimestamp) {
				api.delete('pods', pod.metadata.namespace, pod.metadata.name, 0);
				done++;
			} else if (pod.spec.nodeName && !pod.status?.podIP) {
				api.update('pods', running(pod, ++pods, ready, timestamp(clock.now())), 'status');
				done++;
			}
		}
		return done;
	};
	const converge = async () => {
		do await settle();
		while (kubelet() > 0);
	};
	return {
		api,
		clock,
		settle,
		writes: () => written,
		addNode: (name, zone) => api.create('nodes', node(name, zone)),
		kubelet,
		converge,
		setReady: (pod, ready) => {
			const { namespace, name } = pod.metadata;
			const stored = api.get('pods', namespace, name)!;
			const conditions = [
				{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: timestamp(clock.now()) },
			];
			api.update('pods', { ...stored, status: { ...stored.status, conditions } }, 'status');
		},
		apply: (resource, object) => {
			const { namespace, name } = object.metadata;
			return api.get(resource, namespace, name) ? api.update(resource, object) : api.create(resource, object);
		},
		stop: () => abort.abort(),
	};
}

function running(pod: Pod, index: number, ready: boolean, now: string): Pod {
	const [high, low] = [Math.floor(index / 250) + 1, (index % 250) + 1];
	const podIPs = [{ ip: `10.244.${high}.${low}` }, { ip: `fd00:244:${high}::${low}` }];
	const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: now }];
	return { ...pod, status: { ...pod.status, phase: 'Running', podIP: podIPs[0]!.ip, podIPs, conditions } };
}

function node(name: string, zone?: string): Node {
	const labels = zone ? { 'topology.kubernetes.io/zone': zone } : {};
	return {
		metadata: { name, labels },
		spec: {},
		status: { conditions: [{ type: 'Ready', status: 'True' }] },
	};
}

export function deployment(
	name: string,
	replicas: number,
	spec: Partial<Deployment['spec']> = {},
): Deployment {
	return {
		apiVersion: 'apps/v1',
		kind: 'Deployment',
		metadata: { name, namespace: 'default' },
		spec: {
			replicas,
			selector: { matchLabels: { app: name } },
			template: {
				metadata: { labels: { app: name } },
				spec: {
					containers: [{ name: 'server', image: 'agnhost:1', ports: [{ name: 'web', containerPort: 8080 }] }],
				},
			},
			...spec,
		},
	};
}

export function service(name: string, spec: Partial<Service['spec']> = {}): Service {
	return {
		apiVersion: 'v1',
		kind: 'Service',
		metadata: { name, namespace: 'default' },
		spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 8080 }], ...spec },
	};
}
