import { type Clock, pause, systemClock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Sink } from '../base/sink.ts';
import { Backoff } from './backoff.ts';
import { chunks, readJson } from './body.ts';
import { describe } from './errors.ts';
import { Reflector } from './reflector.ts';
import type { ReflectorState } from './reflector-state.ts';
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
import type { Transport } from './transport.ts';

export type EndpointsSource = 'endpointslices' | 'endpoints';

export interface ApiSourceOptions {
	readonly transport: Transport;
	readonly nodeName: string;
	readonly endpointsSource: EndpointsSource | 'auto';
	/**
	 * Called once, after the choice of the endpoints resource. Never both: Endpoints are mirrored
	 * into EndpointSlices, so every backend would count twice.
	 */
	readonly sinks: (endpoints: EndpointsSource) => ApiSinks;
	/** Receives the ServiceCIDRs if the API server has them (1.33); absent: they are not watched. */
	readonly serviceCidrs?: Sink | undefined;
	readonly log: Log;
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
	/** Also watches Services, with their endpoints, that another proxy or none serves. */
	readonly allServices?: boolean;
	/** If present, namespaces are watched. */
	readonly namespaces?: Sink;
	/** If present, the pods of the agent's own node are watched. */
	readonly pods?: Sink;
}

export interface ApiSource {
	/**
	 * State by resource name. The entry of the endpoints appears after the choice of their resource.
	 */
	states(): ReadonlyMap<string, ReflectorState>;
	/** Resolves when everything has stopped after the signal. */
	readonly done: Promise<void>;
}

/**
 * Watches Services, their endpoints, the agent's node and optional resources until the signal
 * aborts.
 */
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
		const { namespaces, pods, allServices = false } = sinks;
		const chosen = (resource: Resource): Resource => (allServices ? everyOne(resource) : resource);
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

/** @returns undefined when stopped before the choice */
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

/**
 * Whether the API server has a resource; retries until it answers. @returns undefined when stopped
 * before
 */
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
