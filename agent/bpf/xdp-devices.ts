/**
 * Writes the device maps of the XDP program: devices that it may redirect to, and their MAC
 * addresses.
 */
import { DEVICE_MACS, deviceMacCodec } from '../abi/layout.ts';
import { u32Bytes, u32Of } from '../abi/u32.ts';
import type { Link } from './netlink-message.ts';
import type { BpfMap } from './port.ts';

export interface XdpDeviceMaps {
	/** ifindex -> 1: devices that XDP may redirect to. */
	readonly xdpDevices: BpfMap;
	/** ifindex modulo DEVICE_MACS -> MAC address, which identifies frames for this node. */
	readonly deviceMacs: BpfMap;
}

interface Attached {
	readonly ifindex: number;
	readonly mode: string;
}

/**
 * Updates the devices that XDP may redirect to. A driver in native mode accepts redirected frames
 * only if it has an XDP program itself. The generic mode can send through any device, but not for a
 * native program.
 */
export function updateXdpDevices(maps: XdpDeviceMaps, ours: readonly Attached[], all: readonly Link[]): void {
	const native = ours.filter(({ mode }) => mode === 'native');
	const usable = native.length > 0 ? native : ours.filter(({ mode }) => mode === 'generic');
	const missing = new Set(usable.map(({ ifindex }) => ifindex));
	for (const [key] of [...maps.xdpDevices.entries()]) {
		const ifindex = u32Of(key);
		if (!missing.delete(ifindex)) maps.xdpDevices.delete(key);
	}
	for (const ifindex of missing) maps.xdpDevices.update(u32Bytes(ifindex), u32Bytes(1));
	updateMacs(maps.deviceMacs, new Set(usable.map(({ ifindex }) => ifindex)), all);
}

/** Stale entries may stay: the program compares the ifindex in the entry. */
function updateMacs(macs: BpfMap, withXdp: ReadonlySet<number>, all: readonly Link[]): void {
	for (const { index, mac: text } of all) {
		const mac = Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
		if (!withXdp.has(index) || mac.length !== 6) continue;
		const key = u32Bytes(index % DEVICE_MACS);
		const value = deviceMacCodec.encode({ ifindex: index, mac });
		if (Buffer.compare(macs.lookup(key) ?? new Uint8Array(), value) !== 0) macs.update(key, value);
	}
}
