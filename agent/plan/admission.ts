import { cidrText } from '../model/cidr.ts';
import type { Translation } from '../model/translate.ts';
import { byAge } from './claims.ts';
import { tableChunks } from './kernel.ts';
import { type Limits, sizeFor } from './limits.ts';

/** What a Service takes of each map, if it shares nothing. */
interface Need {
	readonly frontends: readonly string[];
	readonly backends: readonly string[];
	/** Chunks by table. */
	readonly tables: ReadonlyMap<string, number>;
	readonly sourceRanges: readonly string[];
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
 * Decides which Services fit into the maps before anything is written: a map that fills up in the middle of a write
 * would leave Services half there. The oldest are kept. Adding up what each Service needs alone says in most cases
 * that all fit; only when it does not, shared entries are counted once.
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

	/** @returns reasons by key of the Services that must wait */
	refused(services: ReadonlyMap<string, Translation>): Map<string, string> {
		const refused = new Map<string, string>();
		const room = this.#room();
		if (KINDS.every((kind) => this.#sum[kind] <= room[kind])) return refused;
		const seen = {
			frontends: new Set<string>(),
			backends: new Set<string>(),
			chunks: new Set<string>(),
			sourceRanges: new Set<string>(),
		};
		const used: Counts = { frontends: 0, backends: 0, chunks: 0, sourceRanges: 0 };
		for (const { key } of [...services.values()].sort(byAge)) {
			const need = this.#needs.get(key)!;
			const fresh = {
				frontends: need.frontends.filter((name) => !seen.frontends.has(name)),
				backends: need.backends.filter((name) => !seen.backends.has(name)),
				chunks: [...need.tables.keys()].filter((name) => !seen.chunks.has(name)),
				// a Service port's own
				sourceRanges: need.sourceRanges,
			};
			const more: Counts = {
				frontends: fresh.frontends.length,
				backends: fresh.backends.length,
				chunks: fresh.chunks.reduce((sum, name) => sum + need.tables.get(name)!, 0),
				sourceRanges: fresh.sourceRanges.length,
			};
			const full = KINDS.find((kind) => more[kind] > 0 && used[kind] + more[kind] > room[kind]);
			if (full) {
				const what = NAMES[full];
				refused.set(
					key,
					`needs ${more[full]} ${what}, ${room[full] - used[full]} of ${room[full]} are left; older Services are kept`,
				);
				continue;
			}
			for (const kind of KINDS) {
				used[kind] += more[kind];
				for (const name of fresh[kind]) seen[kind].add(name);
			}
		}
		return refused;
	}

	/** Backend id 0 is never used. */
	#room(): Counts {
		const { frontends, backends, chunks, segments, sourceRanges } = this.#limits;
		return { frontends, backends: backends - 1, chunks: chunks * segments, sourceRanges };
	}

	#add(need: Need | undefined, sign: 1 | -1): void {
		if (!need) return;
		this.#sum.frontends += sign * need.frontends.length;
		this.#sum.backends += sign * need.backends.length;
		this.#sum.sourceRanges += sign * need.sourceRanges.length;
		for (const chunks of need.tables.values()) this.#sum.chunks += sign * chunks;
	}
}

function needOf(service: Translation, limits: Limits): Need {
	const backends = new Set(service.kept.map((backend) => backend.key));
	const tables = new Map<string, number>();
	for (const frontend of service.frontends) {
		const keys = frontend.backends.map((backend) => backend.key);
		for (const key of keys) backends.add(key);
		const size = sizeFor(frontend, limits);
		if (size > 0) tables.set(`${size} ${keys.join(' ')}`, tableChunks(size, keys.length));
	}
	const frontends = service.frontends.map((frontend) => `${frontend.claim} ${frontend.scope}`);
	const sources = service.frontends.flatMap(({ portKey, sources: ranges = [] }) => {
		return ranges.map((range) => `${portKey} ${cidrText(range)}`);
	});
	return { frontends, backends: [...backends], tables, sourceRanges: [...new Set(sources)] };
}
