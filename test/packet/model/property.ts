/** Runs histories through the programs and the model until one differs. */
import * as fc from 'fast-check';
import { Dataplane } from '../fixture.ts';
import type { Proto } from '../services.ts';
import type { FamilyName } from '../shape.ts';
import { history } from './steps.ts';
import { RODATA, World } from './world.ts';

export interface Budget {
	readonly seed: number;
	/** Number of histories. */
	readonly runs: number;
	/** Maximum steps of a history. */
	readonly length: number;
}

export const SIZES = { frontends: 1024, backends: 1024, connections: 4096 };

/** Share of `make test` for each family and protocol, in addition to a new seed for each run. */
export const SHARE = { seeds: [1, 2], runs: 150, length: 120 } as const;

export const openPlane = (prefix: string): Promise<Dataplane> => Dataplane.open(prefix, RODATA, SIZES);

/**
 * @returns the number of packets that went through programs
 * @throws Error with seed, path and the shortest history that differs
 */
export function compare(
	plane: Dataplane,
	family: FamilyName,
	proto: Proto,
	{ seed, runs, length }: Budget,
): number {
	let packets = 0;
	fc.assert(
		fc.property(history(length), (steps) => {
			const world = new World(plane, family, proto);
			try {
				for (const step of steps) world.step(step);
			} finally {
				packets += world.packets;
			}
		}),
		{ seed, numRuns: runs, endOnFailure: false },
	);
	return packets;
}
