/**
 * Prints two frames side by side, sixteen bytes a line, and marks the lines and bytes that differ.
 */
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

/** @throws Error with both dumps unless the frames are identical */
export function expectSameBytes(actual: Uint8Array, expected: Uint8Array, what = 'frame'): void {
	if (Buffer.compare(actual, expected) !== 0)
		throw new Error(`The ${what} differs\n${hexdumpDiff(expected, actual)}`);
}

/**
 * Compares a frame that a program redirected. For TC it ignores the MAC addresses, which the
 * neighbour table writes later.
 * @throws Error as expectSameBytes()
 */
export function expectSent({ kind }: { kind: 'xdp' | 'tc' }, actual: Uint8Array, expected: Uint8Array): void {
	const from = kind === 'xdp' ? 0 : 12;
	expectSameBytes(
		actual.subarray(from),
		expected.subarray(from),
		kind === 'xdp' ? 'frame' : 'packet behind the MACs',
	);
}
