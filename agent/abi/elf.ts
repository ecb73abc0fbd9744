/**
 * Finds a section of a 64-bit little-endian ELF file (elf(5)), the format of clang's BPF objects.
 * @returns its content, or undefined when no section has the name.
 * @throws RangeError for other files.
 */
export function elfSection(file: Uint8Array, wanted: string): Uint8Array | undefined {
	const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
	if (
		file.length < 64 ||
		view.getUint32(0) !== 0x7f454c46 ||
		view.getUint8(4) !== 2 ||
		view.getUint8(5) !== 1
	) {
		throw new RangeError('Cannot read ELF: not a 64-bit little-endian file');
	}
	const table = Number(view.getBigUint64(40, true));
	const entry = view.getUint16(58, true);
	const count = view.getUint16(60, true);
	const span = (index: number): Uint8Array => {
		const header = table + index * entry;
		const offset = Number(view.getBigUint64(header + 24, true));
		return file.subarray(offset, offset + Number(view.getBigUint64(header + 32, true)));
	};
	const names = span(view.getUint16(62, true));
	const decoder = new TextDecoder();
	for (let i = 0; i < count; i++) {
		const start = view.getUint32(table + i * entry, true);
		if (decoder.decode(names.subarray(start, names.indexOf(0, start))) === wanted) return span(i);
	}
	return undefined;
}
