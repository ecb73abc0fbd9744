/** Encodes attributes of netlink messages (netlink(7)) with their lengths and padding. */

const HEADER = 4;
const NESTED = 0x8000;

export const joined = (parts: readonly Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));

export function attribute(type: number, value: Uint8Array): Uint8Array {
	const bytes = new Uint8Array((HEADER + value.length + 3) & ~3);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, HEADER + value.length, true);
	view.setUint16(2, type, true);
	bytes.set(value, HEADER);
	return bytes;
}

export const nested = (type: number, ...of: readonly Uint8Array[]) => attribute(type | NESTED, joined(of));
/** A string with its terminating zero. */
export const text = (type: number, value: string) => attribute(type, Buffer.from(`${value}\0`));
