import { Backoff } from './backoff.ts';
import { chunks, readJson } from './body.ts';
import { type Clock, pause, systemClock } from './clock.ts';
import { describe } from './errors.ts';
import { Reflector } from './reflector.ts';
import {
	ENDPOINT_SLICES,
	ENDPOINTS,
	everyOne,
	isRecord,
	NAMESPACES,
	ownNode,
	podsOfNode,
	type Resource,
	SERVICES,
} from './resources.ts';
import type { ReflectorLog, ReflectorState, Sink } from './sink.ts';
import type { Transport } from './transport.ts';

export type EndpointsSource = 'endpointslices' | 'endpoints';

export interface ApiSourceOptions {
	readonly transport: Transport;
	readonly nodeName: string;
	readonly endpointsSource: EndpointsSource | 'auto';
	/**
	 * Called once, when it is decided which of the two holds the endpoints. Never both: Endpoints are mirrored
	 * into EndpointSlices, so every backend would count twice.
	 */
	readonly sinks: (endpoints: EndpointsSource) => ApiSinks;
	readonly log: ReflectorLog;
	readonly signal: AbortSignal;
	readonly clock?: Clock;
	/** Uniform in [0, 1). */
	readonly random?: () => number;
	readonly stallMs?: number;
}

export interface ApiSinks {
	readonly services: Sink;
	readonly endpoints: Sink;
	readonly node: Sink;
	/** Given, all Services and their endpoints are watched, also those that another proxy serves, or none. */
	readonly namespaces?: Sink;
	/** Given, the pods of the agent's own node are watched. */
	readonly pods?: Sink;
}

export interface ApiSource {
	/** State by resource name; the endpoints' entry appears when it is decided which kind it is. */
	states(): ReadonlyMap<string, ReflectorState>;
	/** Resolves when everything has stopped after the signal. */
	readonly done: Promise<void>;
}

/** Watches Services, the endpoints behind them, the agent's own node and maybe namespaces until the signal aborts. */
export function watchApi(options: ApiSourceOptions): ApiSource {
	const reflectors = new Map<string, Reflector>();
	const clock = options.clock ?? systemClock;
	const random = options.random ?? Math.random;
	const run = async (): Promise<void> => {
		const endpoints = await chooseEndpoints(options, clock, random);
		if (endpoints === undefined) return;
		const sinks = options.sinks(endpoints);
		const { namespaces, pods } = sinks;
		const chosen = (resource: Resource): Resource => (namespaces ? everyOne(resource) : resource);
		const watched: readonly (readonly [Resource, Sink])[] = [
			[chosen(SERVICES), sinks.services],
			[chosen(endpoints === 'endpoints' ? ENDPOINTS : ENDPOINT_SLICES), sinks.endpoints],
			[ownNode(options.nodeName), sinks.node],
			...(namespaces ? [[NAMESPACES, namespaces] as const] : []),
			...(pods ? [[podsOfNode(options.nodeName), pods] as const] : []),
		];
		for (const [resource, sink] of watched) {
			const { transport, log, stallMs } = options;
			const common = { resource, transport, sink, clock, random, log };
			reflectors.set(resource.name, new Reflector(stallMs === undefined ? common : { ...common, stallMs }));
		}
		await Promise.all([...reflectors.values()].map((reflector) => reflector.run(options.signal)));
	};
	return {
		states: () => new Map([...reflectors].map(([name, reflector]) => [name, reflector.state])),
		done: run(),
	};
}

/** Asks until the API server says whether it has EndpointSlices. @returns undefined when stopped before */
async function chooseEndpoints(
	options: ApiSourceOptions,
	clock: Clock,
	random: () => number,
): Promise<EndpointsSource | undefined> {
	if (options.endpointsSource !== 'auto') return options.endpointsSource;
	const backoff = new Backoff(clock, random);
	while (!options.signal.aborted) {
		try {
			const source = await discover(options, clock);
			options.log.info({ source }, 'endpoints.source');
			return source;
		} catch (error) {
			if (options.signal.aborted) break;
			options.log.warn({ error: describe(error) }, 'discovery.failed');
			await pause(clock, backoff.next(undefined), options.signal);
		}
	}
	return undefined;
}

async function discover(options: ApiSourceOptions, clock: Clock): Promise<EndpointsSource> {
	const path = '/apis/discovery.k8s.io/v1';
	const answer = await options.transport.get(path, {}, options.signal);
	const body = chunks(answer, clock, options.stallMs ?? 30_000);
	if (answer.status !== 200) {
		for await (const _ of body);
		if (answer.status === 404) return 'endpoints';
		throw new Error(`Discovery of EndpointSlices: ${path} answered ${answer.status}`);
	}
	const group = await readJson(body, `Discovery at ${path}`);
	const resources = isRecord(group) && Array.isArray(group['resources']) ? group['resources'] : [];
	return resources.some((r) => isRecord(r) && r['name'] === 'endpointslices')
		? 'endpointslices'
		: 'endpoints';
}
