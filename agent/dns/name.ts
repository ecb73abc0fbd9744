import type { Ip } from '../model/ip.ts';

/** RFC 1035: octets of a name on the wire, its last zero included; and of one label. */
const MAX_NAME = 255;
const MAX_LABEL = 63;

/** Whether a text is a name that fits in a message; it has no escapes. */
export function isName(text: string): boolean {
	if (text.length > MAX_NAME - 2) return false;
	return text.split('.').every((label) => label.length > 0 && label.length <= MAX_LABEL);
}

/** The label that an endpoint without a hostname has: 172-0-0-2, 5678-abcd--1. */
export function addressLabel(ip: Ip): string {
	return ip.text.replaceAll(/[.:]/g, '-');
}

export interface ReadName {
	/** In lower case; a dot or a backslash within a label has a backslash before it. */
	readonly name: string;
	/** Offset behind the name. */
	readonly end: number;
	/** The name has a backslash, so offsets in it are not those of the message. */
	readonly escaped: boolean;
}

/**
 * Reads a name that is written out, as that of a question is.
 * @returns undefined when it is cut off, too long or compressed
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

/** Each byte as a character; only ASCII has two cases (RFC 4343). */
const LOWER: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
	String.fromCharCode(byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte),
);

/** Offset behind a name that may be compressed. @returns undefined when it is cut off */
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
