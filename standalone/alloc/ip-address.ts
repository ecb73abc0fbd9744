import { type FieldError, invalidField, requiredField } from '../api/field-error.ts';
import type { Strategy } from '../api/strategy.ts';
import type { Incoming, IpAddress, ObjectApi, Service } from '../port.ts';
import { canonicalIp, familyOf, inCidr } from './ip-range.ts';
import { realIps } from './service-allocate.ts';
import { cidrsOf, FINALIZER } from './service-cidr.ts';

const FAMILY_LABEL = 'ipaddress.kubernetes.io/ip-family';
const MANAGER_LABEL = 'ipaddress.kubernetes.io/managed-by';
const MANAGER = 'ipallocator.k8s.io';

function validate({ spec }: Incoming<IpAddress>): FieldError[] {
	const parent = spec?.parentRef;
	if (!parent) return [requiredField('spec.parentRef')];
	return (['resource', 'name'] as const)
		.filter((field) => !parent[field])
		.map((field) => requiredField(`spec.parentRef.${field}`));
}

/** IPAddress objects: one for each address of a Service. Its name is the address. */
export const IP_ADDRESSES: Strategy<IpAddress> = {
	name: (name) =>
		familyOf(name) && canonicalIp(name) === name ? [] : ['must be a valid IP address in canonical form'],
	validate,
	validateUpdate: (object, old) =>
		JSON.stringify(object.spec) === JSON.stringify(old.spec)
			? []
			: [invalidField('spec.parentRef', object.spec?.parentRef, 'field is immutable')],
};

function addressObject(service: Service, ip: string): IpAddress {
	const { namespace, name } = service.metadata;
	return {
		metadata: {
			name: ip,
			labels: { [FAMILY_LABEL]: familyOf(ip)!, [MANAGER_LABEL]: MANAGER },
		},
		spec: { parentRef: { group: '', resource: 'services', namespace: namespace!, name } },
	};
}

const isOf = (address: IpAddress | undefined, { metadata }: Service): boolean => {
	const parent = address?.spec?.parentRef;
	return parent?.name === metadata.name && parent?.namespace === metadata.namespace;
};

/**
 * Creates and deletes IPAddresses to match the Services, and finalizes deleted ServiceCIDRs that
 * are no longer in use.
 * @returns a function that stops it.
 */
export function followAddresses(objects: ObjectApi): () => void {
	const held = new Map<string, readonly string[]>();
	const stopServices = objects.watch('services', ({ type, object: service }) => {
		const uid = service.metadata.uid!;
		const now = type === 'DELETED' ? [] : realIps(service.spec).map(canonicalIp);
		const before = held.get(uid) ?? [];
		if (now.length > 0) held.set(uid, now);
		else held.delete(uid);
		for (const ip of now)
			if (!objects.get('ipaddresses', undefined, ip))
				objects.create('ipaddresses', addressObject(service, ip));
		for (const ip of before.filter((old) => !now.includes(old)))
			if (isOf(objects.get('ipaddresses', undefined, ip), service))
				objects.delete('ipaddresses', undefined, ip);
		if (before.length > now.length) releaseCidrs(objects);
	});
	const stopCidrs = objects.watch('servicecidrs', ({ object }) => {
		if (object.metadata.deletionTimestamp) releaseCidrs(objects);
	});
	return () => {
		stopServices();
		stopCidrs();
	};
}

/**
 * Removes the finalizer of a deleted ServiceCIDR if no address needs it: another ServiceCIDR
 * contains each one.
 */
function releaseCidrs(objects: ObjectApi): void {
	const all = objects.list('servicecidrs');
	if (all.every(({ metadata }) => !metadata.deletionTimestamp)) return;
	const staying = all.filter(({ metadata }) => !metadata.deletionTimestamp).flatMap(cidrsOf);
	const addresses = objects.list('ipaddresses').map(({ metadata }) => metadata.name);
	const needed = addresses.filter((ip) => !staying.some((cidr) => inCidr(ip, cidr)));
	for (const object of all) {
		if (
			!object.metadata.deletionTimestamp ||
			cidrsOf(object).some((cidr) => needed.some((ip) => inCidr(ip, cidr)))
		)
			continue;
		const finalizers = (object.metadata.finalizers ?? []).filter((one) => one !== FINALIZER);
		objects.update('servicecidrs', { ...object, metadata: { ...object.metadata, finalizers } });
	}
}
