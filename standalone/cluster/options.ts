/** Options of a standalone cluster. */
import { checkPool } from '../lb/check-pool.ts';
import { LB_POOLS, MAX_NODES } from '../net/addresses.ts';
import { checkPrefix } from '../net/names.ts';
import type { Family } from '../node/pod-runner.ts';

export interface ClusterOptions {
	readonly prefix: string;
	readonly nodes: number;
	/** Zones of the nodes. The list repeats after its last entry. */
	readonly zones: readonly string[];
	/** The primary family first. */
	readonly families: readonly Family[];
	/** State directory. */
	readonly directory: string;
	/** Port of the API server on the machine's loopback; 0 selects a free one. */
	readonly port: number;
	/** Whether nodes and pods have namespaces. Without, pods exist only as objects. */
	readonly network: boolean;
	/** Whether every node has an agent. */
	readonly agents: boolean;
	/** Addresses for Services of type LoadBalancer. Without a pool, they get none. */
	readonly lbPool?: string;
}

/** Options of the control plane's process. */
export interface DaemonOptions extends ClusterOptions {
	/** The namespaces of an earlier control plane are complete, so the new one adopts them. */
	readonly adopt: boolean;
	/** API server port of the earlier control plane; 0 if there was none. */
	readonly lastPort: number;
}

export const DEFAULT_PREFIX = 'maglane';
export const DEFAULT_DIRECTORY = '.maglane';
export const DEFAULT_ZONES: readonly string[] = [...'abcdefghijklmnopqrstuvwxyz'].map(
	(letter) => `zone-${letter}`,
);

/** Valid label values: up to 63 characters. */
const ZONE = /^[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$/i;

/** Parses the flags from commander. @throws RangeError naming the flag. */
export function parseOptions(flags: {
	prefix: string;
	nodes: string;
	zones?: string;
	families: string;
	state: string;
	port: string;
	net: boolean;
	agents: boolean;
	lbPool?: string;
}): ClusterOptions {
	const nodes = wholeNumber('--nodes', flags.nodes, 1, MAX_NODES);
	const families = parseFamilies(flags.families);
	return {
		prefix: checkPrefix(flags.prefix),
		nodes,
		zones: flags.zones === undefined ? DEFAULT_ZONES : parseZones(flags.zones, nodes),
		families,
		directory: flags.state,
		port: wholeNumber('--port', flags.port, 0, 65_535),
		network: flags.net,
		agents: flags.net && flags.agents,
		...(flags.lbPool === 'none' ? {} : { lbPool: parseLbPool(flags.lbPool, families) }),
	};
}

function wholeNumber(flag: string, text: string, min: number, max: number): number {
	const value = Number(text);
	if (/^\d+$/.test(text) && value >= min && value <= max) return value;
	throw new RangeError(`Cannot use ${flag} ${text}: expected a whole number from ${min} to ${max}`);
}

/** @param node 1 for node1. */
export function zoneOf(zones: readonly string[], node: number): string {
	return zones[(node - 1) % zones.length]!;
}

function parseZones(text: string, nodes: number): string[] {
	const zones = text.split(',');
	const wrong = zones.find((zone) => !ZONE.test(zone));
	if (wrong !== undefined)
		throw new RangeError(
			`Cannot use --zones ${text}: ${JSON.stringify(wrong)} is no label value; expected names like zone-a,zone-a,zone-b`,
		);
	if (zones.length <= nodes) return zones;
	throw new RangeError(
		`Cannot use --zones ${text}: ${zones.length} zones for ${nodes} nodes; name at most ${nodes}, or give more --nodes`,
	);
}

function parseFamilies(text: string): Family[] {
	const families = text.split(',');
	const valid = families.every((family) => family === 'v4' || family === 'v6');
	if (valid && new Set(families).size === families.length) return families as Family[];
	throw new RangeError(`Cannot use --families ${text}: expected v4, v6, v4,v6 or v6,v4`);
}

/** A range of the client's network for each family. */
export function defaultLbPool(families: readonly Family[]): string {
	return families.map((family) => LB_POOLS[family]).join(',');
}

function parseLbPool(text: string | undefined, families: readonly Family[]): string {
	const pool = text ?? defaultLbPool(families);
	try {
		checkPool(pool);
	} catch (cause) {
		throw new RangeError(`Cannot use --lb-pool ${pool}: ${(cause as Error).message}`, { cause });
	}
	return pool;
}
