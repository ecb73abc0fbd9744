import { compare, type Translation } from '../model/translate.ts';

interface Claimant {
	readonly key: string;
	readonly created: number;
}

/** Who owns which address, port and protocol when several Services ask for it: the oldest, then by key. */
export class Claims {
	/** By claim, the owner first. */
	readonly #claimants = new Map<string, Claimant[]>();
	readonly #contested = new Set<string>();
	readonly #claimsOf = new Map<string, ReadonlySet<string>>();

	owner(claim: string): string | undefined {
		return this.#claimants.get(claim)?.[0]?.key;
	}

	/**
	 * Replaces what a Service asks for; undefined: it is gone.
	 * @returns other Services that have won or lost an address by this
	 */
	update(key: string, service: Translation | undefined): Set<string> {
		const before = this.#claimsOf.get(key) ?? new Set();
		const after = new Set(service?.frontends.map((frontend) => frontend.claim));
		const owners = new Map([...before, ...after].map((claim) => [claim, this.owner(claim)]));
		for (const claim of before) this.#withdraw(claim, key);
		for (const claim of after) this.#enter(claim, { key, created: service!.created });
		if (after.size > 0) this.#claimsOf.set(key, after);
		else this.#claimsOf.delete(key);
		const affected = new Set<string>();
		for (const [claim, owner] of owners) {
			const next = this.owner(claim);
			if (next === owner) continue;
			for (const other of [owner, next]) if (other !== undefined && other !== key) affected.add(other);
		}
		return affected;
	}

	/** Addresses that more than one Service asks for: the owner's key, then the others'. */
	*contested(): Iterable<readonly [claim: string, owner: string, losers: readonly string[]]> {
		for (const claim of [...this.#contested].sort()) {
			const [owner, ...losers] = this.#claimants.get(claim)!.map((claimant) => claimant.key);
			yield [claim, owner!, losers];
		}
	}

	#enter(claim: string, claimant: Claimant): void {
		const list = this.#claimants.get(claim) ?? [];
		list.push(claimant);
		if (list.length > 1) {
			list.sort(byAge);
			this.#contested.add(claim);
		}
		this.#claimants.set(claim, list);
	}

	#withdraw(claim: string, key: string): void {
		const list = this.#claimants.get(claim)?.filter((claimant) => claimant.key !== key) ?? [];
		if (list.length < 2) this.#contested.delete(claim);
		if (list.length > 0) this.#claimants.set(claim, list);
		else this.#claimants.delete(claim);
	}
}

export function byAge(a: Claimant, b: Claimant): number {
	return compare(a.created, b.created) || compare(a.key, b.key);
}
