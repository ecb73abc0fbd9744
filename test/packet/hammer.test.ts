import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Dataplane } from './fixture.ts';
import { hammer, RODATA, ROUNDS } from './model/hammer.ts';
import { CASES } from './shape.ts';

describe('two CPUs', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlph', RODATA, { connections: 4096 });
	});
	afterAll(() => plane?.close());

	const hooks = ['ml_xdp', 'ml_from_netdev'];
	it.each(hooks.flatMap((hook) => CASES.map((one) => ({ hook, ...one }))))(
		'$hook $proto IP$family: never both own a port that expires for both at once',
		async (one) => {
			expect(await hammer(plane, { ...one, rounds: ROUNDS })).toBe(0);
			plane.clear();
		},
	);
});
