/**
 * Records in a pinned map the local ports that the agent reserved, so that cleanup releases exactly
 * those.
 */
import { join } from 'node:path';
import { check } from './call.ts';
import type { Native } from './ffi/library.ts';
import { KernelMap, openPinnedMap } from './kernel-map.ts';
import { type PortRange, releasePorts, reservePorts, subtractPorts } from './reserved-ports.ts';
import { MapType } from './uapi.ts';

/** Name of the pin. */
export const RESERVED_PORTS = 'reserved_ports';
/**
 * Most ranges recorded, if other reservations split ours. More are not recorded and stay reserved.
 */
const ENTRIES = 16;

/**
 * Reserves the range and releases other ports that the agent reserved.
 * @throws Error when the setting cannot be written.
 */
export function keepPortsReserved(native: Native, directory: string, range: PortRange): void {
	using memo =
		openPinnedMap(native, join(directory, RESERVED_PORTS), RESERVED_PORTS) ?? create(native, directory);
	const before = read(memo);
	const extra = subtractPorts(before, [range]);
	if (extra.length > 0) releasePorts(extra);
	const kept = subtractPorts(before, extra);
	const added = reservePorts(range);
	if (added.length > 0 || extra.length > 0) write(memo, [...kept, ...added]);
}

/** Releases the recorded ports. */
export function releaseReservedPorts(native: Native, directory: string): void {
	using memo = openPinnedMap(native, join(directory, RESERVED_PORTS), RESERVED_PORTS);
	if (memo) releasePorts(read(memo));
}

function create(native: Native, directory: string): KernelMap {
	const { call } = native;
	const fd = check(
		call.bpf_map_create(MapType.ARRAY, RESERVED_PORTS, 4, 8, ENTRIES, null),
		'create',
		`map ${RESERVED_PORTS}`,
	);
	const map = new KernelMap(native, fd, { name: RESERVED_PORTS });
	check(
		call.bpf_obj_pin(fd, join(directory, RESERVED_PORTS)),
		'pin',
		`map ${RESERVED_PORTS} in ${directory}`,
	);
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
