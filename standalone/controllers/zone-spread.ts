import type { ZoneShares } from './zone-shares.ts';

/** Fraction by which an endpoint may exceed its share of traffic, to keep traffic in its zone. */
const OVERLOAD = 0.2;

/**
 * Assigns each endpoint to a zone so that zones have endpoints in proportion to their CPUs
 * (KEP-2433, topology-mode Auto). An endpoint serves its own zone or one with too few endpoints.
 * Deterministic.
 *
 * @param zones of the ready endpoints
 * @returns undefined if an endpoint would be overloaded
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

/**
 * The number of endpoints, as a fraction, for each zone; undefined if there are too few endpoints.
 */
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
	/** Zone -> number of endpoints that it gives to other zones. */
	readonly giving: Map<string, number>;
	readonly receiving: Map<string, number>;
}

/**
 * Moves whole endpoints from the zone with the greatest surplus to the zone with the greatest
 * deficit. Stops when the greater of the two is below 1 or the smaller below 0.5.
 */
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

/** The zone with the greatest number, the first of equals; '' and 0 if there is none. */
function most(zones: ReadonlyMap<string, number>): [zone: string, count: number] {
	let best: [string, number] = ['', 0];
	for (const [zone, count] of zones) if (count > best[1]) best = [zone, count];
	return best;
}
