import { dns1035Label } from '../api/names.ts';
import type { Strategy } from '../api/strategy.ts';
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
import { defaultService, keepAllocated, normaliseCreate, normaliseUpdate } from './service-defaults.ts';
import { validateService, validateServiceUpdate } from './service-validate.ts';
import { trimDowngrade, wipeTypeDependents } from './service-wipe.ts';
import { Transaction } from './transaction.ts';

export interface RangeOptions {
	/** The cluster's families, primary first. */
	families: readonly Family[];
	/** One CIDR for each family, in any order. */
	serviceCidrs: readonly string[];
	/** `30000-32767`. */
	nodePortRange: string;
	random: () => number;
}

/** @throws RangeError for a malformed range or a family without one. */
export function createRanges({ families, serviceCidrs, nodePortRange, random }: RangeOptions): Ranges {
	const byFamily = new Map(
		serviceCidrs.map((cidr) => new IpRange(cidr, random)).map((range) => [range.family, range]),
	);
	const missing = families.find((family) => !byFamily.has(family));
	if (missing || families.length === 0)
		throw new RangeError(`Setting up service addresses: no service CIDR for ${missing ?? 'any family'}`);
	return { cluster: families, ips: byFamily, ports: new PortRange(nodePortRange, random) };
}

/** Services: everything of acceptance section C that the API server does. */
export function serviceStrategy(ranges: Ranges): Strategy {
	return {
		name: dns1035Label,
		defaults: defaultService,
		prepareCreate: (service) => {
			normaliseCreate(service.spec);
			service.status = { loadBalancer: {} };
		},
		prepareUpdate: (service, old) => {
			normaliseUpdate(service.spec, old.spec);
			keepAllocated(service.spec, old.spec);
			wipeTypeDependents(service, old);
			trimDowngrade(service.spec, old.spec);
		},
		validate: validateService,
		validateUpdate: validateServiceUpdate,
		allocate: (service, old) => {
			const tx = new Transaction(service.metadata.uid!);
			try {
				allocateIps(service, old, ranges, tx);
				allocateNodePorts(service, old, ranges, tx);
				allocateHealthPort(service, old, ranges, tx);
			} catch (error) {
				tx.rollback();
				throw error;
			}
			return tx;
		},
		adopt: (service) => adoptService(service, ranges),
		release: (service) => releaseService(service, ranges),
	};
}
