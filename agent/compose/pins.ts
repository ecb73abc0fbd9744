import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { MAGLANE_ABI, TABLE_SEGMENT_CHUNKS, TABLE_SEGMENTS } from '../abi/layout.ts';
import { BpfError } from '../bpf/error.ts';
import type { Native } from '../bpf/ffi/library.ts';
import { type KernelMap, openPinnedMap } from '../bpf/kernel-map.ts';
import { checkPinnedLayout } from '../bpf/layout-check.ts';
import { type BpfMap, serviceMaps, type TableSegments } from '../bpf/port.ts';
import { requireTrusted } from '../bpf/trusted.ts';
import type { PinnedMaps } from '../cli/context.ts';

/** Directory of the pins of this ABI. Two ABIs never share a map. */
export function pinDirectory(pinPath: string): string {
	return join(pinPath, `v${MAGLANE_ABI}`);
}

/**
 * Opens a node's maps for reading; creates and changes nothing.
 * @throws BpfError ENOENT when one is missing
 * @throws Error for a directory that other users can change: its maps may be theirs.
 */
export function openPins(native: Native, pinPath: string): PinnedMaps {
	const directory = pinDirectory(pinPath);
	requireTrusted(directory, `read the maps in ${directory}`);
	if (!existsSync(directory)) throw new Error(`There is no ${directory}${otherVersions(pinPath)}`);
	const opened: KernelMap[] = [];
	const open = (name: string): KernelMap => {
		const path = join(directory, name);
		const map = openPinnedMap(native, path, name);
		if (map === undefined) {
			throw new BpfError({ operation: 'open', object: `map ${name} at ${path}`, errno: 'ENOENT' });
		}
		opened.push(map);
		checkPinnedLayout(native, map, path);
		return map;
	};
	const close = (): void => {
		for (const map of opened) map.close();
	};
	try {
		const maps = {
			...serviceMaps(open, readSegments(directory, open)),
			connections: open('connections'),
			counters: open('counters'),
		};
		const links = readdirSync(directory).filter((name) => name.startsWith(LINK));
		return { ...maps, links: links.map((name) => name.slice(LINK.length)).sort(), [Symbol.dispose]: close };
	} catch (error) {
		close();
		throw error;
	}
}

/** Names the pins of other versions of maglane, as the end of a message. */
function otherVersions(pinPath: string): string {
	const others = existsSync(pinPath) ? readdirSync(pinPath).filter((name) => /^v\d+$/.test(name)) : [];
	if (others.length === 0) return '';
	return `; ${others.join(' and ')} is of another version of maglane, whose own command reads it`;
}

/** Pins of links: link_<program>_<ifindex>, link_<cgroup hook>. */
const LINK = 'link_';

/** Opens the segments by their own pins, without the map of maps. */
function readSegments(directory: string, open: (name: string) => KernelMap): TableSegments {
	const segments: BpfMap[] = [];
	while (existsSync(join(directory, `tables_${segments.length}`))) {
		segments.push(open(`tables_${segments.length}`));
	}
	return {
		chunks: TABLE_SEGMENT_CHUNKS,
		limit: TABLE_SEGMENTS,
		count: segments.length,
		segment(i) {
			const segment = segments[i];
			if (segment) return segment;
			throw new BpfError({ operation: 'open', object: `map tables_${i}`, errno: 'ENOENT' });
		},
		grow() {
			throw new BpfError({
				operation: 'create',
				object: 'a table segment, opened to be read',
				errno: 'EPERM',
			});
		},
	};
}
