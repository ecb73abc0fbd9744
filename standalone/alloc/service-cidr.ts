import { type FieldError, invalidField, requiredField } from '../api/field-error.ts';
import { dnsSubdomain } from '../api/names.ts';
import type { Strategy } from '../api/strategy.ts';
import type { Incoming, ServiceCidr } from '../port.ts';
import type { IpPool } from './ip-pool.ts';
import { canonicalCidr, type Family, familyOf } from './ip-range.ts';
import type { Ranges } from './service-allocate.ts';

/** Keeps a deleted ServiceCIDR until no Service uses an address of it. */
export const FINALIZER = 'networking.k8s.io/service-cidr-finalizer';
/** Name of the ServiceCIDR for the range that the cluster starts with. */
export const DEFAULT_NAME = 'kubernetes';

export const cidrsOf = (object: Incoming<ServiceCidr>): string[] => object.spec?.cidrs ?? [];
export const familyOfCidr = (cidr: string): Family | undefined => familyOf(cidr.split('/')[0]!);

function validateCidr(cidr: unknown, field: string): FieldError[] {
	const canonical = typeof cidr === 'string' ? canonicalCidr(cidr) : undefined;
	if (canonical === undefined)
		return [invalidField(field, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')];
	if (canonical === cidr) return [];
	return [invalidField(field, cidr, `must be in canonical form ("${canonical}")`)];
}

function validate(object: Incoming<ServiceCidr>): FieldError[] {
	const cidrs = object.spec?.cidrs;
	if (!Array.isArray(cidrs) || cidrs.length === 0)
		return [requiredField('spec.cidrs', 'at least one CIDR required')];
	if (cidrs.length > 2) return [invalidField('spec.cidrs', cidrs, 'may only hold up to 2 values')];
	const faults = cidrs.flatMap((cidr, at) => validateCidr(cidr, `spec.cidrs[${at}]`));
	if (faults.length > 0 || cidrs.length === 1) return faults;
	if (familyOfCidr(cidrs[0]!) !== familyOfCidr(cidrs[1]!)) return [];
	return [invalidField('spec.cidrs', cidrs, 'may specify no more than one IP for each IP family')];
}

const validateUpdate = (object: Incoming<ServiceCidr>, old: ServiceCidr): FieldError[] =>
	JSON.stringify(cidrsOf(object)) === JSON.stringify(cidrsOf(old))
		? []
		: [invalidField('spec.cidrs', cidrsOf(object), 'field is immutable')];

function withConditions(object: Incoming<ServiceCidr>): void {
	object.status = {
		conditions: [
			{
				type: 'Ready',
				status: 'True',
				reason: '',
				message: 'Kubernetes Service CIDR is ready',
				lastTransitionTime: object.metadata.creationTimestamp,
			},
		],
	};
	object.metadata.finalizers = [FINALIZER];
}

/** ServiceCIDRs: each adds its ranges to the pool of Service addresses. */
export function serviceCidrStrategy(ranges: Ranges): Strategy<ServiceCidr> {
	const each = (object: ServiceCidr, act: (pool: IpPool, cidr: string, owner: string) => void) => {
		for (const cidr of cidrsOf(object)) {
			const pool = ranges.ips.get(familyOfCidr(cidr)!);
			if (pool) act(pool, cidr, object.metadata.name);
		}
	};
	const add = (object: ServiceCidr) => each(object, (pool, cidr, owner) => pool.add(cidr, owner));
	const close = (object: ServiceCidr) => each(object, (pool, cidr, owner) => pool.close(cidr, owner));
	return {
		name: dnsSubdomain,
		prepareCreate: withConditions,
		validate,
		validateUpdate,
		allocate: (object, old) => ({ commit: () => !old && add(object), rollback() {} }),
		adopt: (object) => {
			add(object);
			if (object.metadata.deletionTimestamp) close(object);
			return [];
		},
		deleting: close,
		release: (object) => each(object, (pool, cidr, owner) => pool.drop(cidr, owner)),
	};
}
