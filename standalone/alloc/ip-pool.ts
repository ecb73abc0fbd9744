import { AllocationError } from './band.ts';
import { canonicalIp, type Family, IpRange } from './ip-range.ts';

interface Member {
	range: IpRange;
	/** Names of the ServiceCIDRs that list the range. */
	owners: Set<string>;
	/** All owners are in deletion: the pool allocates no more addresses from the range. */
	closed: boolean;
}

/**
 * All Service addresses of one family, from the ranges of the cluster's ServiceCIDRs. Ranges may
 * overlap: an address in several ranges is allocated once.
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

	/**
	 * Stops allocation from the range, unless another owner lists it too. Allocated addresses stay
	 * allocated.
	 */
	close(cidr: string, owner: string): void {
		const member = this.#members.get(new IpRange(cidr).cidr);
		if (member?.owners.has(owner) && member.owners.size === 1) member.closed = true;
	}

	/** Removes a deleted owner, and the range after its last owner. */
	drop(cidr: string, owner: string): void {
		const key = new IpRange(cidr).cidr;
		const member = this.#members.get(key);
		if (!member?.owners.delete(owner) || member.owners.size > 0) return;
		this.#members.delete(key);
	}

	/** Whether an open range contains the address and may allocate it. */
	contains(address: string): boolean {
		return this.#open().some(({ range }) => range.usable(address));
	}

	holder(address: string): string | undefined {
		return this.#holders.get(canonicalIp(address));
	}

	/** @throws AllocationError if the address is allocated or outside all open ranges. */
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

	/**
	 * Takes an address from the first range that has a free one.
	 * @throws AllocationError if all ranges are full.
	 */
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
