import type { Ip } from '../model/ip.ts';

/** RFC 1035: most octets of a name in wire format, including the final zero, and of one label. */
const MAX_NAME = 255;
const MAX_LABEL = 63;

/** Whether a text is a name that fits in a message. The text has no escapes. */
export function isName(text: string): boolean {
	if (text.length > MAX_NAME - 2) return false;
	return text.split('.').every((label) => label.length > 0 && label.length <= MAX_LABEL);
}

/** Label of an endpoint without a hostname: 172-0-0-2, 5678-abcd--1. */
export function addressLabel(ip: Ip): string {
	return ip.text.replaceAll(/[.:]/g, '-');
}

export interface ReadName {
	/** In lower case. A backslash escapes a dot or a backslash within a label. */
	readonly name: string;
	/** Offset of the end of the name. */
	readonly end: number;
	/** The name has escapes, so its offsets differ from those in the message. */
	readonly escaped: boolean;
}

/**
 * Reads an uncompressed name, as in a question.
 * @returns undefined when it is truncated, too long or compressed
 */
export function readName(message: Uint8Array, start: number): ReadName | undefined {
	let name = '';
	let escaped = false;
	for (let at = start; at < message.length && at - start < MAX_NAME; ) {
		const length = message[at]!;
		if (length === 0) return { name, end: at + 1, escaped };
		const end = at + 1 + length;
		if (length > MAX_LABEL || end >= message.length) return undefined;
		if (at > start) name += '.';
		for (at++; at < end; at++) {
			const byte = message[at]!;
			if (byte === 0x2e || byte === 0x5c) {
				escaped = true;
				name += '\\';
			}
			name += LOWER[byte]!;
		}
	}
	return undefined;
}

/** Each byte as a character. Only ASCII letters have two cases (RFC 4343). */
const LOWER: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
	String.fromCharCode(byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte),
);

/** Offset of the end of a name that may be compressed. @returns undefined when it is truncated */
export function skipName(message: Uint8Array, start: number): number | undefined {
	for (let at = start; at < message.length; ) {
		const length = message[at]!;
		if (length === 0) return at + 1;
		if (length >= 0xc0) return at + 2 <= message.length ? at + 2 : undefined;
		if (length > MAX_LABEL) return undefined;
		at += 1 + length;
	}
	return undefined;
}
