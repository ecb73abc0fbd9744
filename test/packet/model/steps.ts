/** Generates random histories of events. */
import * as fc from 'fast-check';
import type { Flags } from './model.ts';
import { HOST_SERVICE, PORTS, SERVICE_COUNT } from './world.ts';

export type Step =
	| { kind: 'client'; service: number; client: number; sport: number; flags: Flags; direct: boolean }
	| { kind: 'backend'; backend: number; port: number; flags: Flags; direct: boolean }
	| { kind: 'answer'; backend: number; client: number; sport: number; flags: Flags }
	| { kind: 'own'; service: number; peer: number; sport: number; flags: Flags }
	| { kind: 'error'; backend: number; port: number }
	| { kind: 'other'; what: 'protocol' | 'short' | 'version'; service: number }
	| { kind: 'evict'; which: number | 'replies' }
	| { kind: 'clock'; seconds: number }
	| { kind: 'skew' }
	| { kind: 'endpoints'; service: number; remove: boolean }
	| { kind: 'service'; service: number; remove: boolean };

const PORT_INDEXES = Array.from({ length: PORTS.max - PORTS.min + 1 }, (_, i) => i);
const service = fc.nat({ max: SERVICE_COUNT - 1 });
const port = fc.nat({ max: PORTS.max - PORTS.min });
const sport = fc.constantFrom(4000, 4001);
const direct = fc.boolean();
const flags: fc.Arbitrary<Flags> = fc.oneof(
	{ weight: 4, arbitrary: fc.constantFrom<Flags>({ syn: true }, { ack: true }) },
	fc.constantFrom<Flags>(
		{ syn: true, ack: true },
		{ fin: true, ack: true },
		{ rst: true },
		{ rst: true, ack: true },
	),
);
/** The time limits of flows, and one less. */
const seconds = fc.constantFrom(1, 2, 3, 9, 10, 20, 29, 30, 64, 65, 120, 180, 3600, 7200);

export const step: fc.Arbitrary<Step> = fc.oneof(
	{
		weight: 12,
		arbitrary: fc.record({
			kind: fc.constant('client' as const),
			service,
			client: fc.nat({ max: 1 }),
			sport,
			flags,
			direct,
		}),
	},
	{
		weight: 8,
		arbitrary: fc.record({
			kind: fc.constant('backend' as const),
			backend: fc.nat({ max: 3 }),
			port,
			flags,
			direct,
		}),
	},
	{
		weight: 4,
		arbitrary: fc.record({
			kind: fc.constant('answer' as const),
			backend: fc.nat({ max: 1 }),
			client: fc.nat({ max: 3 }),
			sport: fc.oneof(
				sport,
				port.map((one) => PORTS.min + one),
			),
			flags,
		}),
	},
	{
		weight: 2,
		arbitrary: fc.record({
			kind: fc.constant('own' as const),
			service,
			peer: fc.nat({ max: 1 }),
			sport,
			flags,
		}),
	},
	fc.record({ kind: fc.constant('error' as const), backend: fc.nat({ max: 1 }), port }),
	fc.record({
		kind: fc.constant('other' as const),
		what: fc.constantFrom('protocol' as const, 'short' as const, 'version' as const),
		service,
	}),
	{ weight: 3, arbitrary: fc.record({ kind: fc.constant('evict' as const), which: fc.nat({ max: 63 }) }) },
	{ weight: 4, arbitrary: fc.record({ kind: fc.constant('clock' as const), seconds }) },
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant('skew' as const) }) },
	{
		weight: 1,
		arbitrary: fc.record({ kind: fc.constant('endpoints' as const), service, remove: fc.boolean() }),
	},
	{
		weight: 1,
		arbitrary: fc.record({ kind: fc.constant('service' as const), service, remove: fc.boolean() }),
	},
);

/** Replies to every source port, because one of them belongs to the flow. */
const answers = (backend: number, flags: Flags): Step[] =>
	PORT_INDEXES.map((port) => ({ kind: 'backend', backend, port, flags, direct: false }));

/** Sequences for one flow, which random steps rarely produce. */
const burst: fc.Arbitrary<Step[]> = fc
	.record({
		client: fc.nat({ max: 1 }),
		sport,
		service: fc.nat({ max: 1 }),
		direct,
		first: fc.boolean(),
		seconds,
	})
	.chain(({ client, sport, service, direct, first, seconds }) => {
		const send = (flags: Flags, who = client): Step => ({
			kind: 'client',
			service,
			client: who,
			sport,
			flags,
			direct,
		});
		const change = (kind: 'endpoints' | 'service', which: number, remove: boolean): Step =>
			kind === 'endpoints' ? { kind, service: which, remove } : { kind, service: which, remove };
		const skew: Step = { kind: 'skew' };
		const lost: Step[] = [{ kind: 'evict', which: 'replies' }];
		const fins = [answers(0, { fin: true, ack: true }), [send({ fin: true, ack: true })]];
		return fc.constantFrom<Step[]>(
			// the last backend goes, the flow moves, the old backend sends once more
			[
				send({ syn: true }),
				change('endpoints', service, true),
				send({ syn: true }),
				...answers(1, { rst: true }),
				change('endpoints', service, false),
				send({ syn: true }),
			],
			// one side closes a connection, and others want its port
			[
				send({ syn: true }),
				...answers(0, { syn: true, ack: true }),
				send({ ack: true }),
				...(first ? fins : fins.reverse()).flat(),
				{ kind: 'clock', seconds },
				send({ syn: true }, 1 - client),
				...PORT_INDEXES.map((port): Step => ({ ...client2(service, port), direct })),
			],
			// a frontend gets a port that a flow uses
			[
				change('service', HOST_SERVICE, true),
				send({ syn: true }),
				send({ syn: true }, 1 - client),
				...(first ? lost : []),
				change('service', HOST_SERVICE, false),
				...answers(0, { ack: true }),
				send({ ack: true }),
				send({ ack: true }, 1 - client),
			],
			// the clocks of CPUs differ
			[
				send({ syn: true }),
				skew,
				...answers(0, { ack: true }),
				send({ syn: true }),
				skew,
				send({ ack: true }),
			],
		);
	});

/** Sends from more clients than the world has source ports. */
const client2 = (service: number, port: number) =>
	({
		kind: 'client',
		service: (service + port) % 2,
		client: port % 2,
		sport: 4000 + (port >> 1),
		flags: { syn: true },
	}) as const;

/** @param length maximum number of steps, where a burst counts as one */
export const history = (length: number): fc.Arbitrary<Step[]> =>
	fc
		.array(fc.oneof({ weight: 12, arbitrary: step.map((one) => [one]) }, { weight: 1, arbitrary: burst }), {
			minLength: 1,
			maxLength: length,
			size: 'max',
		})
		.map((parts) => parts.flat());
