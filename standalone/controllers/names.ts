import { randomInt } from 'node:crypto';
import { canonical } from './meta.ts';

/**
 * No vowels and no 0, 1 and 3, so that a suffix never spells a word (k8s.io/apimachinery
 * util/rand).
 */
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

export function randomSuffix(): string {
	return Array.from({ length: 5 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}

/**
 * The pod-template-hash of a template: FNV-1a (32 bit) of its canonical JSON, with digits mapped to
 * the safe alphabet.
 * @param collisions status.collisionCount; each count gives another hash.
 */
export function templateHash(template: unknown, collisions = 0): string {
	const text = canonical(template) + (collisions > 0 ? `#${collisions}` : '');
	let hash = 0x811c9dc5;
	for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
	return [...String(hash)].map((digit) => ALPHABET[digit.charCodeAt(0) % ALPHABET.length]).join('');
}
