import type { KubeObject } from '../../port.ts';

/** A column of `kubectl get` for objects of one type. */
export interface Column<T extends KubeObject = KubeObject> {
	name: string;
	type: 'string' | 'integer' | 'boolean';
	format?: 'name';
	/** 0: always shown. 1: only with -o wide. */
	priority: 0 | 1;
	/** @param now in milliseconds since the epoch. */
	cell(object: T, now: number): string | number | boolean;
}

type Cell<T extends KubeObject> = Column<T>['cell'];

export const column = <T extends KubeObject>(
	name: string,
	cell: Cell<T>,
	extra: Partial<Column<T>> = {},
): Column<T> => ({
	name,
	type: 'string',
	priority: 0,
	cell,
	...extra,
});

export const wide = <T extends KubeObject>(name: string, cell: Cell<T>): Column<T> =>
	column(name, cell, { priority: 1 });
export const count = <T extends KubeObject>(name: string, cell: Cell<T>): Column<T> =>
	column(name, cell, { type: 'integer' });

export const NAME: Column = column('Name', (object) => object.metadata.name, { format: 'name' });
export const AGE: Column = column('Age', (object, now) => since(object.metadata.creationTimestamp, now));

const [MINUTE, HOUR, DAY] = [60, 3600, 86_400];

/** Formats seconds in kubectl's short form: 59s, 9m30s, 5h12m, 7d. */
export function duration(seconds: number): string {
	if (seconds < -1) return '<invalid>';
	const all = Math.max(0, Math.floor(seconds));
	const two = (big: number, unit: string, rest: number, small: string) =>
		`${big}${unit}${rest > 0 ? `${rest}${small}` : ''}`;
	const [minutes, hours, days] = [Math.floor(all / MINUTE), Math.floor(all / HOUR), Math.floor(all / DAY)];
	if (all < 2 * MINUTE) return `${all}s`;
	if (minutes < 10) return two(minutes, 'm', all % MINUTE, 's');
	if (minutes < 180) return `${minutes}m`;
	if (hours < 8) return two(hours, 'h', minutes % 60, 'm');
	if (hours < 48) return `${hours}h`;
	if (hours < 192) return two(days, 'd', hours % 24, 'h');
	if (days < 730) return `${days}d`;
	const years = Math.floor(days / 365);
	return days < 365 * 8 ? two(years, 'y', days % 365, 'd') : `${years}y`;
}

export function since(time: string | undefined | null, now: number): string {
	return time ? duration((now - Date.parse(time)) / 1000) : '<unknown>';
}

/** Formats a label map as `a=b,c=d`. */
export const labelsText = (labels: Record<string, string> | undefined): string =>
	Object.entries(labels ?? {})
		.map(([key, value]) => `${key}=${value}`)
		.sort()
		.join(',') || '<none>';
