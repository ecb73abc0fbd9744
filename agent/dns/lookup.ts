import { type Answer, type NameRecords, RCODE, type ResourceRecord, type Srv, TYPE } from './record.ts';
import { apexOf, parseReverse, rangeOf } from './reverse.ts';
import type { Zone } from './zone.ts';

/** TTL in seconds, also of negative answers; the longest that the specification suggests. */
export const TTL = 5;
/** Longest chain of aliases within the zone. */
const MAX_ALIASES = 8;

export interface Found extends Answer {
	/** An alias leads out of the zone: the name to resolve elsewhere. */
	readonly leadsTo?: string;
}

/**
 * Looks up a name in the zone.
 *
 * @param name in lower case
 * @param turn any number; selects which of several addresses comes first
 * @returns undefined when the name is not in our zones
 */
export function lookup(zone: Zone, name: string, type: number, turn = 0): Found | undefined {
	if (isWithin(name, zone.name)) return lookupForward(zone, name, type, turn);
	return name.endsWith('.arpa') ? lookupReverse(zone, name, type) : undefined;
}

function isWithin(name: string, zone: string): boolean {
	if (!name.endsWith(zone)) return false;
	return name.length === zone.length || name.charCodeAt(name.length - zone.length - 1) === 0x2e;
}

function lookupForward(zone: Zone, asked: string, type: number, turn: number): Found {
	const aliases: ResourceRecord[] = [];
	let name = asked;
	for (;;) {
		const records = zone.find(name);
		if (!records) return negative(zone, zone.name, RCODE.NXDOMAIN, aliases);
		const { cname } = records;
		if (cname === undefined || type === TYPE.CNAME || type === TYPE.ANY) {
			return answer(zone, name, type, { records, turn, aliases });
		}
		aliases.push({ name, type: TYPE.CNAME, ttl: TTL, target: cname });
		if (!isWithin(cname, zone.name)) return { ...positive(aliases), leadsTo: cname };
		if (aliases.length === MAX_ALIASES || aliases.some((alias) => alias.name === cname)) {
			return positive(aliases);
		}
		name = cname;
	}
}

interface At {
	readonly records: NameRecords;
	readonly turn: number;
	readonly aliases: readonly ResourceRecord[];
}

function answer(zone: Zone, name: string, type: number, at: At): Found {
	const { aliases } = at;
	const wanted = type === TYPE.ANY ? firstType(zone, name, at.records) : type;
	const found = wanted === undefined ? [] : recordsOf(zone, name, wanted, at);
	if (found.length === 0) return negative(zone, zone.name, RCODE.NOERROR, aliases);
	const additional = wanted === TYPE.SRV || wanted === TYPE.NS ? addressesOf(zone, found) : [];
	return positive(aliases.length === 0 ? found : [...aliases, ...found], additional);
}

/** ANY is answered with one record set of the name, not with all (RFC 8482). */
function firstType(zone: Zone, name: string, { a, aaaa, srv, cname, text }: NameRecords): number | undefined {
	if (a.length > 0) return TYPE.A;
	if (aaaa.length > 0) return TYPE.AAAA;
	if (cname !== undefined) return TYPE.CNAME;
	if (srv.length > 0) return TYPE.SRV;
	if (text !== undefined) return TYPE.TXT;
	return name === zone.name ? TYPE.SOA : undefined;
}

function recordsOf(zone: Zone, name: string, type: number, { records, turn }: At): ResourceRecord[] {
	switch (type) {
		case TYPE.A:
			return turned(records.a, turn).map((address) => ({ name, type, ttl: TTL, address }));
		case TYPE.AAAA:
			return turned(records.aaaa, turn).map((address) => ({ name, type, ttl: TTL, address }));
		case TYPE.SRV:
			return records.srv.map((srv) => ({ name, type, ttl: TTL, weight: weightOf(records.srv), ...srv }));
		case TYPE.CNAME:
			return records.cname === undefined ? [] : [{ name, type, ttl: TTL, target: records.cname }];
		case TYPE.TXT:
			return records.text === undefined ? [] : [{ name, type, ttl: TTL, text: records.text }];
		case TYPE.SOA:
			return name === zone.name ? [soa(zone, name)] : [];
		case TYPE.NS:
			return name === zone.name ? [{ name, type, ttl: TTL, target: zone.server }] : [];
		default:
			return [];
	}
}

/** Rotates the addresses, because most clients use the first. */
function turned<T>(items: readonly T[], turn: number): readonly T[] {
	const first = items.length > 1 ? turn % items.length : 0;
	return first === 0 ? items : [...items.slice(first), ...items.slice(0, first)];
}

/** Equal weights, computed like CoreDNS. */
function weightOf(srv: readonly Srv[]): number {
	return Math.max(1, Math.floor(100 / srv.length));
}

/** Addresses of the targets of SRV and NS records, each name once. */
function addressesOf(zone: Zone, found: readonly ResourceRecord[]): ResourceRecord[] {
	const targets = new Set(found.flatMap((record) => ('target' in record ? record.target : [])));
	return [...targets].flatMap((name) => {
		const { a = [], aaaa = [] } = zone.find(name) ?? {};
		return [
			...a.map((address): ResourceRecord => ({ name, type: TYPE.A, ttl: TTL, address })),
			...aaaa.map((address): ResourceRecord => ({ name, type: TYPE.AAAA, ttl: TTL, address })),
		];
	});
}

function positive(answers: readonly ResourceRecord[], additional: readonly ResourceRecord[] = []): Found {
	return { rcode: RCODE.NOERROR, authoritative: true, answers, authority: [], additional };
}

/** A client may cache a negative answer for the SOA's minimum (RFC 2308). */
function negative(zone: Zone, apex: string, rcode: number, answers: readonly ResourceRecord[] = []): Found {
	return { rcode, authoritative: true, answers, authority: [soa(zone, apex)], additional: [] };
}

function soa({ server, name: zone, serial }: Zone, name: string): ResourceRecord {
	const mailbox = `hostmaster.${zone}`;
	return { name, type: TYPE.SOA, ttl: TTL, primary: server, mailbox, serial, minimum: TTL };
}

/** An address in our ranges has the names in the zone and no others. */
function lookupReverse(zone: Zone, name: string, type: number): Found | undefined {
	const parsed = parseReverse(name);
	if (!parsed) return undefined;
	const range = rangeOf(parsed, zone.reverse);
	const apex = range ? apexOf(name, parsed, range) : name.slice(name.indexOf('.') + 1);
	const targets = parsed.kind === 'address' ? zone.namesOf(parsed.ip.text) : [];
	if (targets.length > 0) {
		if (type !== TYPE.PTR && type !== TYPE.ANY) return negative(zone, apex, RCODE.NOERROR);
		return positive(targets.map((target) => ({ name, type: TYPE.PTR, ttl: TTL, target })));
	}
	if (!range) return undefined;
	if (name === apex && type === TYPE.SOA) return positive([soa(zone, apex)]);
	if (name === apex && type === TYPE.NS) return positive([{ name, type, ttl: TTL, target: zone.server }]);
	// a prefix of addresses may have names below it, so NXDOMAIN would hide them
	return negative(zone, apex, parsed.kind === 'prefix' ? RCODE.NOERROR : RCODE.NXDOMAIN);
}
