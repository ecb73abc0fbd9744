import type { Translation } from '../model/translate.ts';
import type { Problem } from '../model/types.ts';
import { Admission } from './admission.ts';
import { Claims } from './claims.ts';
import { diff } from './diff.ts';
import { CapacityError } from './entries.ts';
import { Image } from './image.ts';
import type { KernelState, NodeValues } from './kernel.ts';
import type { Limits } from './limits.ts';
import type { Plan } from './plan.ts';

/**
 * Turns translated Services into plans: settles conflicts and capacity, keeps the image, and
 * compares it with the kernel.
 */
export class Planner {
	readonly image: Image;
	readonly translations = new Map<string, Translation>();
	readonly #claims = new Claims();
	readonly #admission: Admission;
	#refused = new Map<string, string>();
	/** Services that must be placed again. */
	readonly #stale = new Set<string>();
	readonly #failed = new Map<string, string>();

	constructor(limits: Limits) {
		this.image = new Image(limits);
		this.#admission = new Admission(limits);
	}

	/** @param service undefined: it is gone, or is not served */
	update(key: string, service: Translation | undefined): void {
		const wanted = service && (service.frontends.length > 0 || service.kept.length > 0) ? service : undefined;
		if (!wanted && !this.translations.has(key)) return;
		if (wanted) this.translations.set(key, wanted);
		else this.translations.delete(key);
		this.#admission.update(key, wanted);
		this.#stale.add(key);
		for (const other of this.#claims.update(key, wanted)) this.#stale.add(other);
	}

	/** Whether a Service waits for resources that still rest. */
	get waiting(): boolean {
		return this.#failed.size > 0;
	}

	/**
	 * Updates the image and plans the writes.
	 * @param everything compares all entries, not only those changed since the last settled plan
	 */
	plan(node: NodeValues, kernel: KernelState, now: number, everything: boolean): Plan {
		const before = this.#refused;
		this.#refused = this.#admission.refused(this.translations);
		for (const key of [...before.keys(), ...this.#refused.keys()]) {
			if (before.has(key) !== this.#refused.has(key)) this.#stale.add(key);
		}
		const stale = [...this.#stale, ...this.#failed.keys()];
		this.#failed.clear();
		// old Services make room for new ones first
		for (const key of stale) if (!this.#wanted(key)) this.image.remove(key);
		for (const key of new Set(stale)) this.#place(key, now);
		this.#stale.clear();
		this.image.collect();
		return diff(this.image, node, kernel, everything ? undefined : this.image.touched);
	}

	/** Valid Services, or addresses of them, that are not served. */
	problems(): Problem[] {
		const problems: Problem[] = [];
		for (const [key, reason] of [...this.#refused, ...this.#failed]) {
			problems.push({ object: `Service ${key}`, field: '', message: `is not served: ${reason}` });
		}
		for (const [claim, owner, losers] of this.#claims.contested()) {
			const message = `${claim} is served for Service ${owner}; give one of them another address or port`;
			for (const key of losers) problems.push({ object: `Service ${key}`, field: '', message });
		}
		return problems;
	}

	/** Reason why a Service is not served at all; undefined: it is served. */
	refusal(key: string): string | undefined {
		return this.#refused.get(key) ?? this.#failed.get(key);
	}

	#wanted(key: string): Translation | undefined {
		return this.#refused.has(key) ? undefined : this.translations.get(key);
	}

	#place(key: string, now: number): void {
		const service = this.#wanted(key);
		if (!service) return;
		try {
			this.image.place(service, (claim) => this.#claims.owner(claim) === key, now);
		} catch (error) {
			if (!(error instanceof CapacityError)) throw error;
			this.#failed.set(key, error.message);
		}
	}
}
