/** Two frames side by side, sixteen bytes a line; lines that differ are marked and the bytes that do, too. */
export function hexdumpDiff(expected: Uint8Array, actual: Uint8Array): string {
	const lines = [`expected ${expected.length} bytes, got ${actual.length}`];
	const end = Math.max(expected.length, actual.length);
	for (let at = 0; at < end; at += 16) {
		const marks = Array.from({ length: 16 }, (_, i) => expected[at + i] !== actual[at + i]);
		const offset = at.toString(16).padStart(4, '0');
		if (!marks.includes(true)) {
			lines.push(`  ${offset}  ${row(expected, at)}`);
			continue;
		}
		lines.push(`- ${offset}  ${row(expected, at)}`);
		lines.push(`+ ${offset}  ${row(actual, at)}`);
		lines.push(`        ${marks.map((mark) => (mark ? '^^' : '  ')).join(' ')}`.trimEnd());
	}
	return lines.join('\n');
}

function row(bytes: Uint8Array, at: number): string {
	return Array.from(bytes.subarray(at, at + 16), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

/** @throws Error with both dumps unless the frames are the same, byte for byte. */
export function expectSameBytes(actual: Uint8Array, expected: Uint8Array, what = 'frame'): void {
	if (Buffer.compare(actual, expected) !== 0)
		throw new Error(`The ${what} differs\n${hexdumpDiff(expected, actual)}`);
}
