import { AllocationError } from './band.ts';
import { canonicalIp, type Family, IpRange } from './ip-range.ts';

interface Member {
	range: IpRange;
	/** Names of the ServiceCIDRs that list it. */
	owners: Set<string>;
	/** All of those are about to go: nothing is taken from it any more. */
	closed: boolean;
}

/**
 * All service addresses of one family: the ranges of the cluster's ServiceCIDRs, which may overlap. An address is one,
 * however many ranges contain it.
 */
export class IpPool {
	readonly family: Family;
	readonly #members = new Map<string, Member>();
	readonly #holders = new Map<string, string>();
	readonly #random: () => number;

	constructor(family: Family, random: () => number) {
		this.family = family;
		this.#random = random;
	}

	/** @throws RangeError for a malformed range. */
	add(cidr: string, owner: string): void {
		const range = new IpRange(cidr, this.#random);
		const known = this.#members.get(range.cidr);
		if (known) {
			known.owners.add(owner);
			known.closed = false;
			return;
		}
		for (const [address, holder] of this.#holders) if (range.usable(address)) range.take(address, holder);
		this.#members.set(range.cidr, { range, owners: new Set([owner]), closed: false });
	}

	/** Gives nothing more from the range, unless another owner lists it too. What is taken stays taken. */
	close(cidr: string, owner: string): void {
		const member = this.#members.get(new IpRange(cidr).cidr);
		if (member?.owners.has(owner) && member.owners.size === 1) member.closed = true;
	}

	/** The owner is gone. */
	drop(cidr: string, owner: string): void {
		const key = new IpRange(cidr).cidr;
		const member = this.#members.get(key);
		if (!member?.owners.delete(owner) || member.owners.size > 0) return;
		this.#members.delete(key);
	}

	/** Whether an open range has the address for Services. */
	contains(address: string): boolean {
		return this.#open().some(({ range }) => range.usable(address));
	}

	holder(address: string): string | undefined {
		return this.#holders.get(canonicalIp(address));
	}

	/** @throws AllocationError when it is taken or in no range. */
	take(address: string, holder = ''): void {
		if (!this.contains(address))
			throw new AllocationError(
				'out-of-range',
				`the provided IP (${address}) is not in the valid range. The range of valid IPs is ${this.#text()}`,
			);
		if (this.holder(address) !== undefined)
			throw new AllocationError('allocated', 'provided IP is already allocated');
		this.#hold(canonicalIp(address), holder);
	}

	/** One of the first range that has any left. @throws AllocationError when all are full. */
	next(holder = ''): string {
		for (const { range } of this.#open()) {
			if (range.free === 0) continue;
			const address = range.next(holder);
			range.release(address, holder);
			this.#hold(address, holder);
			return address;
		}
		throw new AllocationError('full', 'range is full');
	}

	/** Frees the address if `holder` took it. */
	release(address: string, holder = ''): void {
		const known = canonicalIp(address);
		if (this.#holders.get(known) !== holder) return;
		this.#holders.delete(known);
		for (const { range } of this.#members.values()) range.release(known, holder);
	}

	#hold(address: string, holder: string): void {
		this.#holders.set(address, holder);
		for (const { range } of this.#members.values()) if (range.usable(address)) range.take(address, holder);
	}

	#open(): Member[] {
		return [...this.#members.values()].filter(({ closed }) => !closed);
	}

	#text(): string {
		return this.#open()
			.map(({ range }) => range.cidr)
			.join(', ');
	}
}
