import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backendCodec, frontendCodec, frontendKeyCodec } from '../../agent/abi/layout.ts';
import { u32Of } from '../../agent/abi/u32.ts';
import type { FakeWrite } from '../../agent/bpf/fake.ts';
import { backendName, frontendName, isValid } from '../../agent/plan/kernel.ts';
import { service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

/** The maps as packets see them between two writes. */
class Replay {
	readonly #frontends = new Map<string, { table: number; tableSize: number }>();
	readonly #backends = new Map<number, string>();
	readonly #chunks = new Map<number, Uint8Array>();

	write(write: FakeWrite): void {
		const { operation, map, key, value } = write;
		if (map === 'frontends') {
			const name = frontendName(frontendKeyCodec.decode(key!));
			if (operation === 'delete') this.#frontends.delete(name);
			else this.#frontends.set(name, frontendCodec.decode(value!));
		} else if (map === 'backends') {
			const backend = backendCodec.decode(value!);
			if (isValid(backend)) this.#backends.set(u32Of(key!), backendName(backend));
			else this.#backends.delete(u32Of(key!));
		} else if (operation === 'update' && map.startsWith('tables_')) {
			this.#chunks.set((Number(map.slice(7)) << 16) | u32Of(key!), value!);
		}
	}

	/** Possible backends of a new flow for each frontend. A slot without a backend is `undefined`. */
	backends(): Map<string, string> {
		return new Map(
			[...this.#frontends].map(([name, value]) => [name, this.#table(value.table, value.tableSize)]),
		);
	}

	#table(ref: number, size: number): string {
		const found = new Set<string | undefined>();
		for (let slot = 0; slot < size; slot++) {
			const chunk = this.#chunks.get(ref + (slot >> 4));
			const id = chunk && new DataView(chunk.buffer, chunk.byteOffset).getUint32((slot & 15) * 4, true);
			found.add(id === undefined ? undefined : this.#backends.get(id));
		}
		return [...found].map(String).sort().join(' ');
	}
}

const backends = fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 4 });
const steps = fc.array(
	fc.tuple(fc.integer({ min: 1, max: 4 }), fc.option(backends), fc.nat(3), fc.boolean()),
	{
		minLength: 3,
		maxLength: 25,
	},
);

describe('plan order', () => {
	it('shows a packet, between any two writes, each frontend with all its backends of before or of after', () => {
		fc.assert(
			fc.property(steps, (history) => {
				let rig = new Rig().listed().sync();
				const replay = new Replay();
				for (const [i, list, more, restart] of history) {
					const key = `default/s${i}`;
					if (restart && more === 3) {
						const services = rig.reconciler.services();
						const next = new Rig({ maps: rig.maps }).listed();
						for (const s of services)
							next.add({ [s.service]: service(s.service, { ips: [`10.96.0.${s.service.at(-1)}`] }) });
						rig = next;
					}
					if (list) rig.add({ [key]: service(key, { ips: [`10.96.0.${i}`] }) });
					else rig.sinks.services.remove(key);
					if (list)
						rig.add({}, { [key]: slice(`s${i}`, list.length > 0 ? list.map((n) => `10.244.0.${n}`) : []) });
					const before = replay.backends();
					rig.clock.advance(more * 600);
					rig.sync();
					const between: Map<string, string>[] = [];
					for (const write of rig.maps.kernel.take()) {
						replay.write(write);
						between.push(replay.backends());
					}
					const after = replay.backends();
					for (const state of between) {
						for (const [name, set] of state) {
							expect(set).not.toContain('undefined');
							expect([before.get(name), after.get(name)]).toContain(set);
						}
						for (const name of before.keys()) if (after.has(name)) expect(state.has(name)).toBe(true);
					}
				}
			}),
			{ numRuns: 100 },
		);
	}, 60_000);
});
