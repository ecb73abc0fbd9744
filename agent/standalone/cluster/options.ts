/** What a standalone cluster is asked to be. */
import { MAX_NODES } from '../net/addresses.ts';
import { checkPrefix } from '../net/names.ts';
import type { Family } from '../node/pod-runner.ts';

export interface ClusterOptions {
	readonly prefix: string;
	readonly nodes: number;
	/** Primary family first. */
	readonly families: readonly Family[];
	/** State directory. */
	readonly directory: string;
	/** Port of the API server on the machine's loopback; 0: any free one. */
	readonly port: number;
	/** Namespaces for nodes and pods; without, pods are only described. */
	readonly network: boolean;
	/** An agent on every node. */
	readonly agents: boolean;
}

export const DEFAULT_PREFIX = 'maglane';
export const DEFAULT_DIRECTORY = '.maglane';

/** The flags as commander gives them. @throws RangeError naming the flag. */
export function parseOptions(flags: {
	prefix: string;
	nodes: string;
	families: string;
	state: string;
	port: string;
	net: boolean;
	agents: boolean;
}): ClusterOptions {
	return {
		prefix: checkPrefix(flags.prefix),
		nodes: wholeNumber('--nodes', flags.nodes, 1, MAX_NODES),
		families: parseFamilies(flags.families),
		directory: flags.state,
		port: wholeNumber('--port', flags.port, 0, 65_535),
		network: flags.net,
		agents: flags.net && flags.agents,
	};
}

function wholeNumber(flag: string, text: string, min: number, max: number): number {
	const value = Number(text);
	if (/^\d+$/.test(text) && value >= min && value <= max) return value;
	throw new RangeError(`Cannot use ${flag} ${text}: expected a whole number from ${min} to ${max}`);
}

function parseFamilies(text: string): Family[] {
	const families = text.split(',');
	const valid = families.every((family) => family === 'v4' || family === 'v6');
	if (valid && new Set(families).size === families.length) return families as Family[];
	throw new RangeError(`Cannot use --families ${text}: expected v4, v6, v4,v6 or v6,v4`);
}
