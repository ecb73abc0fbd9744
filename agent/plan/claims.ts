import { compare, type FrontendKind, type Translation } from '../model/translate.ts';

interface Aged {
	readonly key: string;
	readonly created: number;
}

interface Claimant extends Aged {
	readonly rank: number;
}

/**
 * Addresses from the cluster precede those from users: no external IP takes a ClusterIP
 * (CVE-2020-8554).
 */
const RANKS: Readonly<Record<FrontendKind, number>> = {
	clusterip: 0,
	nodeport: 1,
	loadbalancer: 2,
	externalip: 3,
};

/** Decides which Service owns a contested address, port and protocol: by kind, then by age. */
export class Claims {
	/** By claim, the owner first. */
	readonly #claimants = new Map<string, Claimant[]>();
	readonly #contested = new Set<string>();
	readonly #claimsOf = new Map<string, ReadonlySet<string>>();

	owner(claim: string): string | undefined {
		return this.#claimants.get(claim)?.[0]?.key;
	}

	/**
	 * Replaces the claims of a Service; undefined: it is gone.
	 * @returns other Services that win or lose an address
	 */
	update(key: string, service: Translation | undefined): Set<string> {
		const before = this.#claimsOf.get(key) ?? new Set();
		const ranks = new Map(service?.frontends.map((frontend) => [frontend.claim, RANKS[frontend.kind]]));
		const after = new Set(ranks.keys());
		const owners = new Map([...before, ...after].map((claim) => [claim, this.owner(claim)]));
		for (const claim of before) this.#withdraw(claim, key);
		for (const [claim, rank] of ranks) this.#enter(claim, { key, created: service!.created, rank });
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

	/** Addresses that several Services claim: the key of the owner, then those of the others. */
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
			list.sort((a, b) => a.rank - b.rank || byAge(a, b));
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

/** Sorts older Services first, and those of the same age by key. */
export function byAge(a: Aged, b: Aged): number {
	return compare(a.created, b.created) || compare(a.key, b.key);
}
