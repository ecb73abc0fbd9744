/** Which local ports we reserved, kept in a pinned map, so that cleanup gives back those and no others. */
import { join } from 'node:path';
import { check } from './call.ts';
import type { Native } from './ffi/native.ts';
import { KernelMap, openPinnedMap } from './kernel-map.ts';
import { type PortRange, releasePorts, reservePorts, subtractPorts } from './reserved-ports.ts';
import { MapType } from './uapi.ts';

const NAME = 'reserved_ports';
/** Ranges that others have cut ours into; more are forgotten, and stay reserved. */
const ENTRIES = 16;

/** Reserves the range and nothing else of ours. @throws Error where the setting cannot be written. */
export function keepPortsReserved(native: Native, directory: string, range: PortRange): void {
	using memo = openPinnedMap(native, join(directory, NAME), NAME) ?? create(native, directory);
	const before = read(memo);
	const extra = subtractPorts(before, [range]);
	if (extra.length > 0) releasePorts(extra);
	const kept = subtractPorts(before, extra);
	const added = reservePorts(range);
	if (added.length > 0 || extra.length > 0) write(memo, [...kept, ...added]);
}

/** Gives back what was reserved. */
export function releaseReservedPorts(native: Native, directory: string): void {
	using memo = openPinnedMap(native, join(directory, NAME), NAME);
	if (memo) releasePorts(read(memo));
}

function create(native: Native, directory: string): KernelMap {
	const { call } = native;
	const fd = check(call.bpf_map_create(MapType.ARRAY, NAME, 4, 8, ENTRIES, null), 'create', `map ${NAME}`);
	const map = new KernelMap(native, fd, { name: NAME });
	check(call.bpf_obj_pin(fd, join(directory, NAME)), 'pin', `map ${NAME} in ${directory}`);
	return map;
}

function read(memo: KernelMap): PortRange[] {
	const ranges = [...memo.entries()].map(([, value]) => {
		const view = new DataView(value.buffer, value.byteOffset);
		return { min: view.getUint32(0, true), max: view.getUint32(4, true) };
	});
	return ranges.filter(({ min }) => min !== 0);
}

function write(memo: KernelMap, ranges: readonly PortRange[]): void {
	for (let i = 0; i < ENTRIES; i++) {
		const { min, max } = ranges[i] ?? { min: 0, max: 0 };
		memo.update(new Uint8Array(Uint32Array.of(i).buffer), new Uint8Array(Uint32Array.of(min, max).buffer));
	}
}
