import { dns1035Label } from '../api/names.ts';
import type { Conflict, Strategy } from '../api/strategy.ts';
import type { Service } from '../port.ts';
import { IpPool } from './ip-pool.ts';
import type { Family } from './ip-range.ts';
import { IpRange } from './ip-range.ts';
import { PortRange } from './port-range.ts';
import {
	adoptService,
	allocateHealthPort,
	allocateIps,
	allocateNodePorts,
	type Ranges,
	releaseService,
} from './service-allocate.ts';
import { DEFAULT_NAME } from './service-cidr.ts';
import { defaultService, keepAllocated, normaliseCreate, normaliseUpdate } from './service-defaults.ts';
import { validateService, validateServiceUpdate } from './service-validate.ts';
import { trimDowngrade, wipeTypeDependents } from './service-wipe.ts';
import { Transaction } from './transaction.ts';

export interface RangeOptions {
	/** The cluster's families, primary first. */
	families: readonly Family[];
	/** One CIDR for each family, in any order. */
	serviceCidrs: readonly string[];
	/** Like `30000-32767`. */
	nodePortRange: string;
	random: () => number;
}

/** @throws RangeError for a malformed range, or for a family without a range. */
export function createRanges({ families, serviceCidrs, nodePortRange, random }: RangeOptions): Ranges {
	const ips = new Map(families.map((family) => [family, new IpPool(family, random)]));
	const covered = new Set<Family>();
	for (const cidr of serviceCidrs) {
		const { family } = new IpRange(cidr);
		covered.add(family);
		ips.get(family)?.add(cidr, DEFAULT_NAME);
	}
	const missing = families.find((family) => !covered.has(family));
	if (missing || families.length === 0)
		throw new RangeError(`Setting up service addresses: no service CIDR for ${missing ?? 'any family'}`);
	return { cluster: families, ips, ports: new PortRange(nodePortRange, random) };
}

/**
 * Services with an address or port that another Service holds. Each release retries them in the
 * same turn, before another request can take the value.
 */
class Waiting {
	readonly #services = new Map<string, Service>();
	readonly #ranges: Ranges;

	constructor(ranges: Ranges) {
		this.#ranges = ranges;
	}

	adopt(service: Service): Conflict[] {
		const conflicts = adoptService(service, this.#ranges);
		if (conflicts.length > 0) this.#services.set(service.metadata.uid!, service);
		else this.#services.delete(service.metadata.uid!);
		return conflicts;
	}

	/**
	 * Retries all waiting Services after a release.
	 * @param changed the new state of an updated Service.
	 */
	retry(changed?: Service): void {
		if (changed && this.#services.has(changed.metadata.uid!)) this.adopt(changed);
		for (const service of this.#services.values()) this.adopt(service);
	}

	forget(service: Service): void {
		this.#services.delete(service.metadata.uid!);
	}
}

/** Services: implements the API server's part of acceptance section C. */
export function serviceStrategy(ranges: Ranges): Strategy<Service> {
	const waiting = new Waiting(ranges);
	return {
		name: dns1035Label,
		defaults: defaultService,
		prepareCreate: (service) => {
			normaliseCreate(service.spec!);
			service.status = { loadBalancer: {} };
		},
		prepareUpdate: (service, old) => {
			normaliseUpdate(service.spec!, old.spec);
			keepAllocated(service.spec!, old.spec);
			wipeTypeDependents(service, old);
			trimDowngrade(service.spec!, old.spec);
		},
		validate: validateService,
		validateUpdate: validateServiceUpdate,
		allocate: (service, old) => {
			const tx = new Transaction(service.metadata.uid!);
			try {
				allocateIps(service, old, ranges, tx);
				allocateNodePorts(service, old, ranges, tx);
				allocateHealthPort(service, old, ranges, tx);
				tx.onCommit(() => waiting.retry(service));
			} catch (error) {
				tx.rollback();
				throw error;
			}
			return tx;
		},
		adopt: (service) => waiting.adopt(service),
		release: (service) => {
			waiting.forget(service);
			releaseService(service, ranges);
			waiting.retry();
		},
	};
}
