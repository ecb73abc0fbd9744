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
	SERVICE_CIDRS,
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
	/** Gets the ServiceCIDRs, where the API server has such (1.33); absent: they are not wanted. */
	readonly serviceCidrs?: Sink | undefined;
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
	const watch = async (resource: Resource, sink: Sink): Promise<void> => {
		const { transport, log, stallMs } = options;
		const common = { resource, transport, sink, clock, random, log };
		const reflector = new Reflector(stallMs === undefined ? common : { ...common, stallMs });
		reflectors.set(resource.name, reflector);
		await reflector.run(options.signal);
	};
	const run = async (): Promise<void> => {
		const endpoints = await chooseEndpoints(options, clock, random);
		if (endpoints === undefined) return;
		const sinks = options.sinks(endpoints);
		const { namespaces, pods } = sinks;
		const chosen = (resource: Resource): Resource => (namespaces ? everyOne(resource) : resource);
		await Promise.all([
			watch(chosen(SERVICES), sinks.services),
			watch(chosen(endpoints === 'endpoints' ? ENDPOINTS : ENDPOINT_SLICES), sinks.endpoints),
			watch(ownNode(options.nodeName), sinks.node),
			...(namespaces ? [watch(NAMESPACES, namespaces)] : []),
			...(pods ? [watch(podsOfNode(options.nodeName), pods)] : []),
		]);
	};
	const runServiceCidrs = async (sink: Sink): Promise<void> => {
		if (await serves(SERVICE_CIDRS, options, clock, random)) await watch(SERVICE_CIDRS, sink);
	};
	const { serviceCidrs } = options;
	const done = Promise.all([run(), ...(serviceCidrs ? [runServiceCidrs(serviceCidrs)] : [])]);
	return {
		states: () => new Map([...reflectors].map(([name, reflector]) => [name, reflector.state])),
		done: done.then(() => {}),
	};
}

/** @returns undefined when stopped before it is known */
async function chooseEndpoints(
	options: ApiSourceOptions,
	clock: Clock,
	random: () => number,
): Promise<EndpointsSource | undefined> {
	if (options.endpointsSource !== 'auto') return options.endpointsSource;
	const slices = await serves(ENDPOINT_SLICES, options, clock, random);
	if (slices === undefined) return undefined;
	const source = slices ? 'endpointslices' : 'endpoints';
	options.log.info({ source }, 'endpoints.source');
	return source;
}

/** Asks until the API server says whether it has a resource. @returns undefined when stopped before */
async function serves(
	resource: Resource,
	options: ApiSourceOptions,
	clock: Clock,
	random: () => number,
): Promise<boolean | undefined> {
	const backoff = new Backoff(clock, random);
	while (!options.signal.aborted) {
		try {
			return await discover(resource, options, clock);
		} catch (error) {
			if (options.signal.aborted) break;
			options.log.warn({ error: describe(error) }, 'discovery.failed');
			await pause(clock, backoff.next(undefined), options.signal);
		}
	}
	return undefined;
}

async function discover(
	{ name, path: place }: Resource,
	options: ApiSourceOptions,
	clock: Clock,
): Promise<boolean> {
	const path = place.slice(0, place.lastIndexOf('/'));
	const answer = await options.transport.get(path, {}, options.signal);
	const body = chunks(answer, clock, options.stallMs ?? 30_000);
	if (answer.status !== 200) {
		for await (const _ of body);
		if (answer.status === 404) return false;
		throw new Error(`Discovery of ${name}: ${path} answered ${answer.status}`);
	}
	const group = await readJson(body, `Discovery at ${path}`);
	const resources = isRecord(group) && Array.isArray(group['resources']) ? group['resources'] : [];
	return resources.some((r) => isRecord(r) && r['name'] === name);
}
