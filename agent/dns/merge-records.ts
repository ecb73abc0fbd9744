import type { NameRecords } from './record.ts';

/** Merges the records of several endpoint objects for one name, without duplicates. */
export function mergeRecords(parts: readonly NameRecords[]): NameRecords {
	const [first, ...others] = parts;
	if (first && others.length === 0) return first;
	return {
		a: unique(
			parts.flatMap(({ a }) => a),
			String,
		),
		aaaa: unique(
			parts.flatMap(({ aaaa }) => aaaa),
			String,
		),
		srv: unique(
			parts.flatMap(({ srv }) => srv),
			({ port, target }) => `${port} ${target}`,
		),
	};
}

function unique<T>(items: readonly T[], key: (item: T) => string): T[] {
	return [...new Map(items.map((item) => [key(item), item])).values()];
}
