/**
 * Compares the packet programs with a model by random histories. There are few clients, backends
 * and source ports. Lost entries, clock steps and changes of Services occur between the packets.
 * `make fuzz` runs millions.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dataplane } from './fixture.ts';
import { compare, openPlane, SHARE } from './model/property.ts';
import { CASES } from './shape.ts';

/** A failure prints this seed. */
const FRESH_SEED = Math.floor(Math.random() * 2 ** 31);

describe('programs and model', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await openPlane('mlpm');
	});
	afterAll(() => plane?.close());

	it.each(CASES.flatMap((one) => [...SHARE.seeds, FRESH_SEED].map((seed) => ({ ...one, seed }))))(
		'agree on $proto IP$family, seed $seed',
		({ family, proto, seed }) => {
			expect(compare(plane, family, proto, { ...SHARE, seed })).toBeGreaterThan(1000);
		},
	);
});
