import type { FrontendKey } from '../abi/layout.ts';

/** A hash of an address, 18 bits, as in address_hash() of bpf/address.h. */
export function addressBit(addr: Uint8Array): number {
	return Math.imul(fold(addr), 0x9e3779b1) >>> 14;
}

/** A hash of a frontend's key, 18 bits, as in frontend_hash() of bpf/frontend.h. */
export function frontendBit({ addr, port, proto, scope }: FrontendKey): number {
	const rest = (port << 16) | (proto << 8) | scope;
	return (Math.imul(fold(addr), 0x9e3779b1) ^ Math.imul(rest, 0x85ebca6b)) >>> 14;
}

function fold(addr: Uint8Array): number {
	const view = new DataView(addr.buffer, addr.byteOffset, 16);
	let folded = 0;
	for (let at = 0; at < 16; at += 4) folded ^= view.getUint32(at, true);
	return folded;
}

/** Index of the 64-bit word that contains a bit. */
export function wordOf(bit: number): number {
	return bit >>> 6;
}

/** A value of one word of a map of bits. */
export interface WordWrite {
	readonly index: number;
	readonly value: bigint;
}

/** Counts the entries of each bit. Several entries may share one. */
export class Bits {
	readonly words: BigUint64Array;
	readonly #users = new Map<number, number>();

	constructor(words: number) {
		this.words = new BigUint64Array(words);
	}

	add(bit: number): void {
		this.#users.set(bit, (this.#users.get(bit) ?? 0) + 1);
		this.words[wordOf(bit)]! |= maskOf(bit);
	}

	remove(bit: number): void {
		const users = this.#users.get(bit)! - 1;
		if (users > 0) {
			this.#users.set(bit, users);
			return;
		}
		this.#users.delete(bit);
		this.words[wordOf(bit)]! &= ~maskOf(bit);
	}
}

/** The bit in its word. */
export const maskOf = (bit: number): bigint => 1n << BigInt(bit & 63);
