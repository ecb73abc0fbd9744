/**
 * Records the result of each cell, one file for each kernel: .cache/networks/<kernel>.json.
 * docs/networks.md is generated from these files.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join, resolve } from 'node:path';
import type { Family, Mode, Spec } from './spec.ts';

export const RESULTS = resolve(import.meta.dirname, '../../../.cache/networks');

export interface CellResult {
	readonly check: string;
	readonly mode: Mode;
	readonly family: Family;
	/** degraded means a failure that the topology predicts. */
	readonly outcome: 'works' | 'fails' | 'degraded';
}

export interface TopologyResult {
	/** The reason why the topology was not built. It then has no cells. */
	readonly absent?: string;
	readonly cells: readonly CellResult[];
}

export interface KernelResults {
	/** Kernel release, with the suffix from MAGLANE_NETWORKS_LABEL such as the compiler. */
	readonly kernel: string;
	/** End of the last topology, UTC, to the minute. */
	readonly at: string;
	readonly topologies: Readonly<Record<string, TopologyResult>>;
}

export function kernelLabel(): string {
	const more = process.env['MAGLANE_NETWORKS_LABEL'];
	return more ? `${release()}, ${more}` : release();
}

/** Stores the result of a topology beside those of other topologies. */
export function save({ name }: Spec, result: TopologyResult): void {
	const kernel = kernelLabel();
	const file = join(RESULTS, `${kernel.replaceAll(/[^\w.+-]+/g, '-')}.json`);
	mkdirSync(RESULTS, { recursive: true });
	const before = existsSync(file)
		? (JSON.parse(readFileSync(file, 'utf8')) as KernelResults)
		: { topologies: {} };
	const at = `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`;
	const all: KernelResults = { kernel, at, topologies: { ...before.topologies, [name]: result } };
	writeFileSync(file, JSON.stringify(all, undefined, '\t'));
}
