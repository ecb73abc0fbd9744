/**
 * Edits net.ipv4.ip_local_reserved_ports of the current network namespace: sockets must not choose
 * source ports that the BPF programs assign to forwarded connections. Reservations of other
 * programs stay.
 */
import { readFileSync, writeFileSync } from 'node:fs';

/** Both ends are inclusive. */
export interface PortRange {
	readonly min: number;
	readonly max: number;
}

const PATH = '/proc/sys/net/ipv4/ip_local_reserved_ports';

/** Parses the kernel's list: 80,8000-8010. */
export function parsePorts(text: string): PortRange[] {
	const parts = text.trim().split(',').filter(Boolean);
	return parts.map((part) => {
		const [min, max = min] = part.split('-').map(Number) as [number, number?];
		return { min, max };
	});
}

export function formatPorts(ranges: readonly PortRange[]): string {
	return ranges.map(({ min, max }) => (min === max ? `${min}` : `${min}-${max}`)).join(',');
}

/** Merges both lists into sorted, disjoint ranges. */
export function addPorts(ranges: readonly PortRange[], more: readonly PortRange[]): PortRange[] {
	const sorted = [...ranges, ...more].sort((a, b) => a.min - b.min);
	const merged: PortRange[] = [];
	for (const range of sorted) {
		const last = merged.at(-1);
		if (last && range.min <= last.max + 1)
			merged[merged.length - 1] = { min: last.min, max: Math.max(last.max, range.max) };
		else merged.push(range);
	}
	return merged;
}

/** The ports of `ranges` that are not in `less`. */
export function subtractPorts(ranges: readonly PortRange[], less: readonly PortRange[]): PortRange[] {
	return less.reduce<PortRange[]>(
		(left, hole) =>
			left.flatMap(({ min, max }) =>
				[
					{ min, max: Math.min(max, hole.min - 1) },
					{ min: Math.max(min, hole.max + 1), max },
				].filter((part) => part.min <= part.max),
			),
		[...ranges],
	);
}

/**
 * Reserves the range. @returns the newly reserved ports. @throws Error when /proc/sys is read-only.
 */
export function reservePorts(range: PortRange): PortRange[] {
	const before = parsePorts(readFileSync(PATH, 'utf8'));
	const added = subtractPorts([range], before);
	if (added.length > 0) write(addPorts(before, [range]));
	return added;
}

/** Releases the ports that reservePorts() added. */
export function releasePorts(added: readonly PortRange[]): void {
	const before = parsePorts(readFileSync(PATH, 'utf8'));
	const after = subtractPorts(before, added);
	if (formatPorts(after) !== formatPorts(before)) write(after);
}

function write(ranges: readonly PortRange[]): void {
	const text = formatPorts(ranges);
	try {
		// the kernel ignores an empty write
		writeFileSync(PATH, text === '' ? '\n' : text);
	} catch (cause) {
		throw new Error(`Cannot reserve ports: ${PATH} is not writable; set it to ${text} on the node`, {
			cause,
		});
	}
}
