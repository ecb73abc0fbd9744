import { frontendKeyCodec } from '../../agent/abi/layout.ts';
import { u32Of } from '../../agent/abi/u32.ts';
import { type FakeLimits, type FakeServiceMaps, fakeServiceMaps } from '../../agent/bpf/fake.ts';
import { Reconciler, type ReconcilerOptions } from '../../agent/loop/reconcile.ts';
import { frontendBit, maskOf, wordOf } from '../../agent/plan/bits.ts';
import { dumpKernel } from '../../agent/plan/dump.ts';
import { readKernel } from '../../agent/plan/kernel.ts';
import { node } from './reconcile-objects.ts';

/** A clock that a test advances. */
export class TestClock {
	#now = 0;
	#timers: { at: number; run: () => void }[] = [];

	now(): number {
		return this.#now;
	}

	after(ms: number, run: () => void): () => void {
		const timer = { at: this.#now + ms, run };
		this.#timers.push(timer);
		return () => {
			this.#timers = this.#timers.filter((t) => t !== timer);
		};
	}

	/** Advances the time and runs due timers in order. */
	advance(ms: number): void {
		const end = this.#now + ms;
		for (;;) {
			const next = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
			if (!next) break;
			this.#timers = this.#timers.filter((t) => t !== next);
			this.#now = Math.max(this.#now, next.at);
			next.run();
		}
		this.#now = end;
	}
}

export interface LogLine {
	readonly level: string;
	readonly event: string;
	readonly fields: Record<string, unknown>;
}

/** A reconciler over fake maps, with access to its inputs and outputs. */
export class Rig {
	readonly maps: FakeServiceMaps;
	readonly clock = new TestClock();
	readonly lines: LogLine[] = [];
	readonly reconciler: Reconciler;
	readonly sinks: ReturnType<Reconciler['sinks']>;

	constructor(options: { maps?: FakeServiceMaps; limits?: FakeLimits } & Partial<ReconcilerOptions> = {}) {
		const { maps, limits, ...rest } = options;
		this.maps = maps ?? fakeServiceMaps({ backends: 4096, ...limits });
		const log = (level: string) => (fields: object, event: string) => {
			this.lines.push({ level, event, fields: fields as Record<string, unknown> });
		};
		this.reconciler = new Reconciler({
			maps: this.maps,
			nodeName: 'node1',
			log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
			clock: this.clock,
			random: () => 0.5,
			...rest,
		});
		this.sinks = this.reconciler.sinks('endpointslices');
	}

	/** Completes the initial lists. */
	listed(nodeObject: object = node()): this {
		this.sinks.node.upsert('node1', nodeObject);
		this.sinks.services.listed();
		this.sinks.endpoints.listed();
		return this;
	}

	/** Adds objects by their keys. */
	add(services: Record<string, object>, slices: Record<string, object> = {}): this {
		for (const [key, raw] of Object.entries(services)) this.sinks.services.upsert(key, raw);
		for (const [key, raw] of Object.entries(slices)) this.sinks.endpoints.upsert(key, raw);
		return this;
	}

	sync(): this {
		if (!this.reconciler.sync()) throw new Error(`Sync failed: ${this.reconciler.snapshot().lastError}`);
		const wrong = this.wrongBits();
		if (wrong.length > 0) throw new Error(`Wrong words of frontend bits: ${wrong.join(' ')}`);
		return this;
	}

	/** Words of frontend_bits that are not those of the keys in `frontends`, ended ones included. */
	wrongBits(): number[] {
		const expected = new Map<number, bigint>();
		for (const [key] of this.maps.frontends.entries()) {
			const bit = frontendBit(frontendKeyCodec.decode(key));
			expected.set(wordOf(bit), (expected.get(wordOf(bit)) ?? 0n) | maskOf(bit));
		}
		return [...this.maps.frontendBits.entries()].flatMap(([key, value]) => {
			const index = u32Of(key);
			const word = new DataView(value.buffer, value.byteOffset, 8).getBigUint64(0, true);
			return word === (expected.get(index) ?? 0n) ? [] : [index];
		});
	}

	dump(): string {
		return dumpKernel(readKernel(this.maps), (id) => this.reconciler.serviceName(id));
	}

	/** The lines of the dump that begin with `start`. */
	lineOf(start: string): string {
		return (
			this.dump()
				.split('\n')
				.find((line) => line.startsWith(start)) ?? ''
		);
	}
}
