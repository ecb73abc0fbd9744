import { ADDRESS_WORDS } from '../abi/layout.ts';

/** Index of an address's bit, as in address_hash() of bpf/address.h. */
export function addressBit(addr: Uint8Array): number {
	const view = new DataView(addr.buffer, addr.byteOffset, 16);
	let folded = 0;
	for (let at = 0; at < 16; at += 4) folded ^= view.getUint32(at, true);
	return Math.imul(folded, 0x9e3779b1) >>> 14;
}

/** Index of the 64-bit word that contains a bit. */
export function wordOf(bit: number): number {
	return bit >>> 6;
}

/** One bit for each address of Services; several addresses may share a bit. */
export class AddressBits {
	readonly words = new BigUint64Array(ADDRESS_WORDS);
	readonly #users = new Map<number, number>();

	add(addr: Uint8Array): void {
		const bit = addressBit(addr);
		this.#users.set(bit, (this.#users.get(bit) ?? 0) + 1);
		this.words[wordOf(bit)]! |= mask(bit);
	}

	remove(addr: Uint8Array): void {
		const bit = addressBit(addr);
		const users = this.#users.get(bit)! - 1;
		if (users > 0) {
			this.#users.set(bit, users);
			return;
		}
		this.#users.delete(bit);
		this.words[wordOf(bit)]! &= ~mask(bit);
	}
}

const mask = (bit: number): bigint => 1n << BigInt(bit & 63);
