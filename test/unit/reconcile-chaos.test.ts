import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { node, service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

/** One step of a history. */
type Step =
	| { readonly do: 'service'; readonly i: number; readonly kind: number }
	| {
			readonly do: 'slice';
			readonly i: number;
			readonly backends: readonly number[];
			readonly ready: boolean;
			readonly odd: number;
	  }
	| { readonly do: 'remove'; readonly i: number; readonly what: 'services' | 'endpoints' }
	| { readonly do: 'node'; readonly last: number }
	| { readonly do: 'sync' | 'restart' | 'verify'; readonly failAt: number; readonly ms: number }
	| { readonly do: 'damage'; readonly which: number };

const index = fc.integer({ min: 1, max: 4 });
const steps = fc.array(
	fc.oneof(
		{ weight: 3, arbitrary: fc.record({ do: fc.constant('service' as const), i: index, kind: fc.nat(4) }) },
		{
			weight: 4,
			arbitrary: fc.record({
				do: fc.constant('slice' as const),
				i: index,
				backends: fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 4 }),
				ready: fc.boolean(),
				odd: fc.nat(1),
			}),
		},
		fc.record({
			do: fc.constant('remove' as const),
			i: index,
			what: fc.constantFrom('services' as const, 'endpoints' as const),
		}),
		fc.record({ do: fc.constant('node' as const), last: fc.integer({ min: 1, max: 3 }) }),
		{
			weight: 5,
			arbitrary: fc.record({
				do: fc.constantFrom(
					'sync' as const,
					'sync' as const,
					'sync' as const,
					'restart' as const,
					'verify' as const,
				),
				failAt: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 30 })),
				ms: fc.constantFrom(0, 500, 1500),
			}),
		},
		fc.record({ do: fc.constant('damage' as const), which: fc.nat(20) }),
	),
	{ minLength: 5, maxLength: 40 },
);

function serviceOf(i: number, kind: number): object {
	const spec = [
		{},
		{ type: 'NodePort' },
		{ type: 'NodePort', externalTrafficPolicy: 'Local' },
		{ internalTrafficPolicy: 'Local', sessionAffinity: 'ClientIP' },
		{ externalIPs: ['198.51.100.1'] },
	][kind]!;
	const ports = [
		{ name: 'p', port: 80, nodePort: 30000 + i },
		...(kind === 2 ? [{ name: 'u', port: 80, protocol: 'UDP' }] : []),
	];
	const meta = { creationTimestamp: `2026-01-0${i}T00:00:00Z` };
	return service(`default/s${i}`, { ips: [`10.96.0.${i}`, `fd00:10:96::${i}`], spec, ports, meta });
}

function sliceOf({ i, backends, ready, odd }: Extract<Step, { do: 'slice' }>): object {
	const endpoints = backends.map((n) => {
		const conditions = ready ? {} : { ready: false, serving: n % 2 === 0, terminating: true };
		return { ip: `10.244.${n % 2}.${n}`, node: n % 2 === odd ? 'node1' : 'node2', conditions };
	});
	const ports = [
		{ name: 'p', port: 8080 },
		{ name: 'u', port: 5353, protocol: 'UDP' },
	];
	return { ...slice(`s${i}`, endpoints, ports), addressType: 'IPv4' };
}

/** The existing objects, and an agent that receives every change. */
class World {
	readonly services = new Map<string, object>();
	readonly endpoints = new Map<string, object>();
	nodeObject = node();
	rig: Rig;

	constructor(maps?: Rig['maps']) {
		this.rig = new Rig(
			maps ? { maps } : { limits: { frontends: 100, backends: 64, chunks: 2048, segments: 4 } },
		).listed();
	}

	do(step: Step): void {
		const key = 'i' in step ? `default/s${step.i}` : '';
		if (step.do === 'service') this.#set('services', key, serviceOf(step.i, step.kind));
		if (step.do === 'slice') this.#set('endpoints', key, sliceOf(step));
		if (step.do === 'remove') this.#set(step.what, key, undefined);
		if (step.do === 'node') {
			this.nodeObject = node([`192.168.10.${step.last}`, `fd00:10::${step.last}`]);
			this.rig.sinks.node.upsert('node1', this.nodeObject);
		}
		if (step.do === 'damage') this.#damage(step.which);
		if ('failAt' in step) this.#sync(step.do, step.failAt, step.ms);
	}

	/** Starts a new agent on these maps. */
	restart(maps = this.rig.maps): Rig {
		const rig = new Rig({ maps });
		rig.add(Object.fromEntries(this.services), Object.fromEntries(this.endpoints));
		return rig.listed(this.nodeObject);
	}

	#set(what: 'services' | 'endpoints', key: string, object: object | undefined): void {
		if (object) this[what].set(key, object);
		else this[what].delete(key);
		if (object) this.rig.sinks[what].upsert(key, object);
		else this.rig.sinks[what].remove(key);
	}

	#sync(what: 'sync' | 'restart' | 'verify', failAt: number, ms: number): void {
		this.rig.clock.advance(ms);
		if (what === 'restart') this.rig = this.restart();
		if (what === 'verify') this.rig.reconciler.verify();
		if (failAt > 0) this.rig.maps.kernel.failAt(failAt);
		this.rig.reconciler.sync();
		this.rig.maps.kernel.failAt(0);
	}

	/** Another process writes to the maps. */
	#damage(which: number): void {
		const maps = this.rig.maps;
		const frontends = [...maps.frontends.entries()];
		const [key, value] = frontends[which % Math.max(frontends.length, 1)] ?? [];
		if (which % 3 === 0 && key) maps.frontends.delete(key);
		if (which % 3 === 1 && key && value) maps.frontends.update(key, value.fill(3, 4, 8));
		if (which % 3 === 2 && maps.tables.count > 0) {
			maps.tables.segment(0).update(new Uint8Array([which, 0, 0, 0]), new Uint8Array(64).fill(9));
		}
		this.rig.reconciler.verify();
	}
}

describe('Reconciler after any history of changes, failures, restarts and damage', () => {
	it('leaves in the maps what a fresh agent would write, and writes nothing when asked again', () => {
		fc.assert(
			fc.property(steps, (history) => {
				const world = new World();
				for (const step of history) world.do(step);
				world.rig.clock.advance(2000);
				world.rig.sync();
				const fresh = world.restart(new World().rig.maps).sync();
				expect(world.rig.dump()).toBe(fresh.dump());
				world.rig.maps.kernel.take();
				world.rig.reconciler.verify();
				world.rig.sync();
				expect(world.rig.maps.kernel.take()).toEqual([]);
				const restarted = world.restart().sync();
				expect(restarted.maps.kernel.take()).toEqual([]);
				expect(restarted.dump()).toBe(fresh.dump());
			}),
			{ numRuns: 300 },
		);
	}, 60_000);
});
