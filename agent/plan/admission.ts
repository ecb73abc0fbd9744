import { cidrText } from '../model/cidr.ts';
import type { Backend, Translation } from '../model/translate.ts';
import { byAge } from './claims.ts';
import { tableChunks } from './kernel.ts';
import { type Limits, sizeFor } from './limits.ts';

/** Entries of each map that a Service needs. Services share only frontends that several claim. */
interface Need extends Readonly<Omit<Counts, 'frontends'>> {
	readonly frontends: readonly string[];
}

const KINDS = ['frontends', 'backends', 'chunks', 'sourceRanges'] as const;
const NAMES: Readonly<Record<(typeof KINDS)[number], string>> = {
	frontends: 'frontends',
	backends: 'backends',
	chunks: 'chunks of table memory',
	sourceRanges: 'source ranges',
};
type Counts = Record<(typeof KINDS)[number], number>;

/**
 * Decides which Services fit into the maps before any write: a map that fills up during a write
 * would leave Services incomplete. The oldest Services are kept. The sum of all needs usually shows
 * that all fit. Only otherwise are frontends that several Services claim counted once.
 */
export class Admission {
	readonly #limits: Limits;
	readonly #needs = new Map<string, Need>();
	readonly #sum: Counts = { frontends: 0, backends: 0, chunks: 0, sourceRanges: 0 };

	constructor(limits: Limits) {
		this.#limits = limits;
	}

	update(key: string, service: Translation | undefined): void {
		this.#add(this.#needs.get(key), -1);
		const need = service && needOf(service, this.#limits);
		if (need) this.#needs.set(key, need);
		else this.#needs.delete(key);
		this.#add(need, 1);
	}

	/** @returns reasons by key of the Services that do not fit */
	refused(services: ReadonlyMap<string, Translation>): Map<string, string> {
		const refused = new Map<string, string>();
		const room = this.#room();
		if (KINDS.every((kind) => this.#sum[kind] <= room[kind])) return refused;
		const seen = new Set<string>();
		const used: Counts = { frontends: 0, backends: 0, chunks: 0, sourceRanges: 0 };
		for (const { key } of [...services.values()].sort(byAge)) {
			const need = this.#needs.get(key)!;
			const fresh = need.frontends.filter((name) => !seen.has(name));
			const more: Counts = { ...need, frontends: fresh.length };
			const full = KINDS.find((kind) => more[kind] > 0 && used[kind] + more[kind] > room[kind]);
			if (full) {
				const what = NAMES[full];
				refused.set(
					key,
					`needs ${more[full]} ${what}, ${room[full] - used[full]} of ${room[full]} are left; older Services are kept`,
				);
				continue;
			}
			for (const kind of KINDS) used[kind] += more[kind];
			for (const name of fresh) seen.add(name);
		}
		return refused;
	}

	/** Capacity of each map. Backend id 0 is never used. */
	#room(): Counts {
		const { frontends, backends, chunks, segments, sourceRanges } = this.#limits;
		return { frontends, backends: backends - 1, chunks: chunks * segments, sourceRanges };
	}

	#add(need: Need | undefined, sign: 1 | -1): void {
		if (!need) return;
		const counts: Counts = { ...need, frontends: need.frontends.length };
		for (const kind of KINDS) this.#sum[kind] += sign * counts[kind];
	}
}

function needOf(service: Translation, limits: Limits): Need {
	const names = ({ key, portKey }: Backend) => `${key} ${portKey}`;
	const backends = new Set(service.kept.map(names));
	const tables = new Map<string, number>();
	for (const frontend of service.frontends) {
		const keys = frontend.backends.map(names);
		for (const key of keys) backends.add(key);
		const size = sizeFor(frontend, limits);
		if (size > 0) tables.set(`${size} ${keys.join(' ')}`, tableChunks(size, keys.length));
	}
	const frontends = service.frontends.map((frontend) => `${frontend.claim} ${frontend.scope}`);
	const sources = service.frontends.flatMap(({ portKey, sources: ranges = [] }) => {
		return ranges.map((range) => `${portKey} ${cidrText(range)}`);
	});
	return {
		frontends,
		backends: backends.size,
		chunks: [...tables.values()].reduce((sum, chunks) => sum + chunks, 0),
		sourceRanges: new Set(sources).size,
	};
}
