import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Endpoint } from '../../standalone/controllers/endpoint.ts';
import { targetPort } from '../../standalone/controllers/endpoint-ports.ts';
import { type PackedSlice, type Packing, pack } from '../../standalone/controllers/slice-pack.ts';

const endpoint = (id: number, ready = true): Endpoint => ({
	addresses: [`10.0.${id >> 8}.${id & 255}`],
	conditions: { ready, serving: ready, terminating: false },
	targetRef: { kind: 'Pod', namespace: 'default', name: `pod-${id}`, uid: `uid-${id}` },
});
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => endpoint(from + i));
const slice = (name: string, endpoints: Endpoint[], stale = false): PackedSlice => ({
	name,
	endpoints,
	stale,
});

/** The slices after the packing is applied. */
function written(
	before: readonly PackedSlice[],
	{ create, update, remove }: Packing,
): Map<string, Endpoint[]> {
	const after = new Map(before.map(({ name, endpoints }) => [name, [...endpoints]]));
	for (const [name, endpoints] of update) after.set(name, endpoints);
	for (const name of remove) after.delete(name);
	const fresh = (i: number): string => (after.has(`slice-${i}`) ? fresh(i + 1) : `slice-${i}`);
	for (const endpoints of create) after.set(fresh(0), endpoints);
	return after;
}

describe('pack()', () => {
	it.each([
		[250, 100, [100, 100, 50]],
		[250, 50, [50, 50, 50, 50, 50]],
		[250, 250, [250]],
		[250, 500, [250]],
		[0, 100, []],
	])('%i endpoints with %i a slice make slices of %j (B-80)', (count, limit, sizes) => {
		expect(pack([], range(0, count), limit).create.map(({ length }) => length)).toEqual(sizes);
	});

	it('writes the conditions again that a user has removed from a slice', () => {
		const { conditions: _removed, ...bare } = endpoint(0, false);
		const packing = pack([slice('a', [bare as Endpoint])], [endpoint(0, false)], 100);
		expect(packing.update.get('a')).toEqual([endpoint(0, false)]);
	});

	it('puts a rest into the existing slice that it fills best', () => {
		const before = [slice('a', range(0, 30)), slice('b', range(30, 90)), slice('c', range(90, 185))];
		const packing = pack(before, range(0, 215), 100);
		expect([...packing.update.keys()]).toEqual(['b']);
		expect(packing).toMatchObject({ create: [], remove: [] });
		expect(packing.update.get('b')).toHaveLength(90);
	});

	it('makes a new slice for a rest that fits nowhere whole', () => {
		const before = [slice('a', range(0, 90)), slice('b', range(90, 180))];
		const packing = pack(before, range(0, 200), 100);
		expect(packing.create.map(({ length }) => length)).toEqual([20]);
		expect(packing.update.size).toBe(0);
	});

	it('fills slices that are written anyway first, the fullest before the others', () => {
		const before = [slice('a', range(0, 50)), slice('b', range(50, 130)), slice('c', range(130, 140))];
		const gone = new Set(['pod-0', 'pod-50']);
		const desired = range(0, 170).filter(({ targetRef }) => !gone.has(targetRef!.name!));
		const packing = pack(before, desired, 100);
		expect(packing.update.get('b')).toHaveLength(100);
		expect(packing.update.get('a')).toHaveLength(58);
		expect(packing.update.has('c')).toBe(false);
		expect(packing.create).toEqual([]);
	});

	it('writes only the slice of an endpoint whose condition changed, in its place', () => {
		const before = [slice('a', range(0, 100)), slice('b', range(100, 200))];
		const desired = range(0, 200);
		desired[150] = endpoint(150, false);
		const packing = pack(before, desired, 100);
		expect([...packing.update.keys()]).toEqual(['b']);
		expect(packing.update.get('b')![50]).toEqual(endpoint(150, false));
	});

	it('does not rebalance and leaves what is right untouched', () => {
		const before = [slice('a', range(0, 10)), slice('b', range(10, 20))];
		expect(pack(before, range(0, 20), 100)).toEqual({ create: [], update: new Map(), remove: [] });
	});

	it('removes a slice that lost all endpoints', () => {
		const before = [slice('a', range(0, 10)), slice('b', range(10, 20))];
		expect(pack(before, range(0, 10), 100)).toMatchObject({ create: [], remove: ['b'] });
	});

	it('holds each endpoint once, no slice above the limit, and is stable, after any history', () => {
		const ids = fc.uniqueArray(fc.integer({ min: 0, max: 60 }));
		fc.assert(
			fc.property(
				fc.array(ids, { minLength: 1, maxLength: 8 }),
				fc.integer({ min: 1, max: 12 }),
				(history, limit) => {
					let slices: PackedSlice[] = [];
					for (const wanted of history) {
						const desired = wanted.map((id) => endpoint(id));
						slices = [...written(slices, pack(slices, desired, limit))].map(([name, list]) =>
							slice(name, list),
						);
						const held = slices.flatMap(({ endpoints }) => endpoints.map(({ addresses }) => addresses[0]));
						expect(held.toSorted()).toEqual(desired.map(({ addresses }) => addresses[0]).sort());
						for (const { endpoints } of slices) expect(endpoints.length).toBeLessThanOrEqual(limit);
						expect(pack(slices, desired, limit)).toEqual({ create: [], update: new Map(), remove: [] });
					}
				},
			),
		);
	});
});

describe('targetPort()', () => {
	const container = (name: string, containerPort: number, protocol = 'TCP', more = {}) => ({
		name: `c${containerPort}`,
		ports: [{ name, containerPort, protocol }],
		...more,
	});
	const sidecar = { restartPolicy: 'Always' };
	it.each([
		['the second container', [container('p', 22), container('q', 33)], [], 'q', 33],
		['the protocol differs', [container('q', 33, 'UDP')], [], 'q', undefined],
		['a sidecar', [container('b', 81)], [container('a', 80, 'TCP', sidecar)], 'a', 80],
		['an ordinary initContainer', [container('b', 81)], [container('a', 80)], 'a', undefined],
		['a container before a sidecar', [container('a', 81)], [container('a', 80, 'TCP', sidecar)], 'a', 81],
		['a number, declared by no container', [], [], 93, 93],
	])('finds a port in %s (B-84)', (_where, containers, initContainers, wanted, port) => {
		const pod = { metadata: { name: 'p' }, spec: { containers, initContainers } };
		expect(targetPort({ port: 80, targetPort: wanted }, pod)).toBe(port);
	});

	it('is the port of the Service when there is none', () => {
		expect(targetPort({ port: 80 }, { metadata: { name: 'p' }, spec: { containers: [] } })).toBe(80);
	});
});
