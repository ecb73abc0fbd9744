import type { ZoneShares } from './zone-shares.ts';

/** How much more than its part an endpoint may get, for traffic to stay in its zone. */
const OVERLOAD = 0.2;

/**
 * The zone whose clients each endpoint serves, so that zones have endpoints in proportion to their CPUs: its own, or
 * one that lacks some (KEP-2433, topology-mode Auto). The same for the same input.
 *
 * @param zones of the ready endpoints
 * @returns undefined when an endpoint would get too much
 */
export function spreadZones(zones: readonly string[], shares: ZoneShares): string[] | undefined {
	const wanted = wantedByZone(zones.length, shares);
	if (!wanted) return undefined;
	const { giving, receiving } = moves(zones, wanted);
	return zones.map((zone) => {
		const receiver = [...receiving].find(([, count]) => count > 0)?.[0];
		if (!receiver || !giving.get(zone)) return zone;
		giving.set(zone, giving.get(zone)! - 1);
		receiving.set(receiver, receiving.get(receiver)! - 1);
		return receiver;
	});
}

/** Endpoints, as a fraction, that each zone should have; undefined when there are too few for that. */
function wantedByZone(endpoints: number, shares: ZoneShares): Map<string, number> | undefined {
	if (endpoints < shares.size) return undefined;
	let rest = endpoints;
	const wanted = new Map<string, number>();
	for (const [zone, share] of shares) {
		const fewest = Math.ceil((share * endpoints) / (1 + OVERLOAD));
		rest -= fewest;
		wanted.set(zone, Math.max(share * endpoints, fewest));
	}
	return rest < 0 ? undefined : wanted;
}

interface Moves {
	/** Zone -> endpoints that it gives to others. */
	readonly giving: Map<string, number>;
	readonly receiving: Map<string, number>;
}

/** Whole endpoints move from where most are over to where most are missing, while at least half a one is. */
function moves(zones: readonly string[], wanted: ReadonlyMap<string, number>): Moves {
	const over = new Map<string, number>();
	const short = new Map<string, number>();
	for (const [zone, want] of wanted) {
		const surplus = zones.filter((one) => one === zone).length - want;
		if (surplus > 0) over.set(zone, surplus);
		else if (surplus < 0) short.set(zone, -surplus);
	}
	const giving = new Map<string, number>();
	const receiving = new Map<string, number>();
	for (;;) {
		const [from, spare] = most(over);
		const [to, missing] = most(short);
		if (Math.max(spare, missing) < 1 || Math.min(spare, missing) < 0.5) return { giving, receiving };
		giving.set(from, (giving.get(from) ?? 0) + 1);
		receiving.set(to, (receiving.get(to) ?? 0) + 1);
		over.set(from, spare - 1);
		short.set(to, missing - 1);
	}
}

/** The zone with the greatest number, the first of equals; '' and 0 when there is none. */
function most(zones: ReadonlyMap<string, number>): [zone: string, count: number] {
	let best: [string, number] = ['', 0];
	for (const [zone, count] of zones) if (count > best[1]) best = [zone, count];
	return best;
}
