import { ApiError, invalid, type ResourceName } from '../api/errors.ts';
import { type FieldError, invalidField } from '../api/field-error.ts';
import type { Conflict } from '../api/strategy.ts';
import type { Service, ServiceSpec } from '../port.ts';
import { AllocationError } from './band.ts';
import { type Cluster, initFamilies } from './families.ts';
import type { IpPool } from './ip-pool.ts';
import { canonicalIp, type Family, familyOf } from './ip-range.ts';
import type { PortRange } from './port-range.ts';
import { isHeadless, needsClusterIp, needsHealthCheckPort, needsNodePorts } from './service-facts.ts';
import type { Transaction } from './transaction.ts';

const SERVICE: ResourceName = { group: '', resource: 'services', kind: 'Service' };

/** The address and port ranges of one cluster. */
export interface Ranges {
	cluster: Cluster;
	ips: ReadonlyMap<Family, IpPool>;
	ports: PortRange;
}

const fail = (service: Service, faults: FieldError[]): ApiError =>
	invalid(SERVICE, service.metadata.name, faults);

/**
 * Maps an AllocationError to an error of the field. A full range is a server error (500), because
 * the user cannot fix it.
 */
function refused(service: Service, error: unknown, fault: FieldError): unknown {
	if (!(error instanceof AllocationError)) return error;
	if (error.why === 'full')
		return new ApiError(
			500,
			'InternalError',
			`Internal error occurred: failed to allocate ${fault.field}: range is full`,
		);
	return fail(service, [fault]);
}

/**
 * The valid addresses of clusterIPs. Skips `None` and the malformed entries that a stored Service
 * may contain.
 */
export const realIps = (spec: ServiceSpec | undefined): string[] =>
	listOf(spec?.clusterIPs).filter((ip) => typeof ip === 'string' && familyOf(ip) !== undefined);

const listOf = <T>(value: T[] | undefined): T[] => (Array.isArray(value) ? value : []);

/**
 * Keeps the addresses of a PreferDualStack Service on an unrelated update, even if the cluster's
 * families have changed.
 */
function isUntouchedPreference(spec: ServiceSpec, before: ServiceSpec | undefined): boolean {
	if (spec.ipFamilyPolicy !== 'PreferDualStack' || before?.ipFamilyPolicy !== 'PreferDualStack') return false;
	const same = (field: 'clusterIPs' | 'ipFamilies') =>
		JSON.stringify(spec[field]) === JSON.stringify(before[field]);
	return same('clusterIPs') && same('ipFamilies') && (spec.ipFamilies?.length ?? 0) > 0;
}

/**
 * sets the families, then allocates one address for each. The commit frees addresses that
 * the update removes.
 */
export function allocateIps(
	service: Service,
	old: Service | undefined,
	ranges: Ranges,
	tx: Transaction,
): void {
	const spec = service.spec;
	const before = realIps(old?.spec);
	if (needsClusterIp(spec) && !isUntouchedPreference(spec, old?.spec)) {
		const faults = initFamilies(spec, ranges.cluster);
		if (faults.length > 0) throw fail(service, faults);
		if (!isHeadless(spec)) takeIps(service, before, ranges, tx);
	}
	const kept = new Set(realIps(spec));
	for (const ip of before.filter((entry) => !kept.has(entry)))
		tx.onCommit(() => ranges.ips.get(familyOf(ip)!)?.release(ip, service.metadata.uid));
}

function takeIps(service: Service, before: readonly string[], ranges: Ranges, tx: Transaction): void {
	const spec = service.spec;
	const given = (spec.clusterIPs ?? []).map(canonicalIp);
	const ips = spec.ipFamilies!.map((family, at) => {
		const wanted = given[at];
		if (wanted !== undefined && before.includes(wanted)) return wanted;
		try {
			return tx.ip(ranges.ips.get(family as Family)!, wanted);
		} catch (error) {
			const detail = `failed to allocate IP ${wanted}: ${(error as Error).message}`;
			throw refused(service, error, invalidField('spec.clusterIPs', given, detail));
		}
	});
	spec.clusterIPs = ips;
	spec.clusterIP = ips[0]!;
}

const nodePortsOf = (spec: ServiceSpec | undefined): number[] =>
	listOf(spec?.ports)
		.map((port) => port?.nodePort)
		.filter((port): port is number => Number.isInteger(port) && port !== 0);

function takePort(
	service: Service,
	field: string,
	wanted: number | undefined,
	ranges: Ranges,
	tx: Transaction,
): number {
	try {
		return tx.port(ranges.ports, wanted);
	} catch (error) {
		throw refused(service, error, invalidField(field, wanted, (error as Error).message));
	}
}

/**
 * R-4 on create: ports with the same number share a nodePort. An explicit nodePort of either takes
 * precedence.
 */
function createNodePorts(service: Service, ranges: Ranges, tx: Transaction): void {
	const ports = service.spec.ports ?? [];
	const byNumber = new Map<number, number>();
	for (const [at, port] of ports.entries()) {
		const shared = byNumber.get(port.port);
		if (shared !== undefined && (port.nodePort === undefined || port.nodePort === shared)) {
			port.nodePort = shared;
			continue;
		}
		const wanted =
			port.nodePort ?? ports.find((entry) => entry.port === port.port && entry.nodePort)?.nodePort;
		port.nodePort = takePort(service, `spec.ports[${at}].nodePort`, wanted, ranges, tx);
		byNumber.set(port.port, port.nodePort);
	}
}

function updateNodePorts(service: Service, before: readonly number[], ranges: Ranges, tx: Transaction): void {
	const held = new Set(before);
	for (const [at, port] of (service.spec.ports ?? []).entries()) {
		if (port.nodePort && held.has(port.nodePort)) continue;
		port.nodePort = takePort(service, `spec.ports[${at}].nodePort`, port.nodePort, ranges, tx);
		held.add(port.nodePort);
	}
}

export function allocateNodePorts(
	service: Service,
	old: Service | undefined,
	ranges: Ranges,
	tx: Transaction,
): void {
	const spec = service.spec;
	const before = nodePortsOf(old?.spec);
	if (needsNodePorts(spec)) {
		if (old) updateNodePorts(service, before, ranges, tx);
		else createNodePorts(service, ranges, tx);
	} else if (spec.type === 'LoadBalancer') {
		// A load balancer without node ports gets none allocated, but keeps explicit ones
		const explicit = {
			...service,
			spec: { ...spec, ports: (spec.ports ?? []).filter((port) => port.nodePort) },
		};
		updateNodePorts(explicit, before, ranges, tx);
	}
	const kept = new Set(nodePortsOf(spec));
	for (const port of new Set(before.filter((entry) => !kept.has(entry))))
		tx.onCommit(() => ranges.ports.release(port, service.metadata.uid));
}

/** allocates a health check port only for a Service that needs one. */
export function allocateHealthPort(
	service: Service,
	old: Service | undefined,
	ranges: Ranges,
	tx: Transaction,
): void {
	const spec = service.spec;
	const before = old?.spec.healthCheckNodePort;
	if (needsHealthCheckPort(spec)) {
		if (before === undefined || spec.healthCheckNodePort !== before)
			spec.healthCheckNodePort = takePort(
				service,
				'spec.healthCheckNodePort',
				spec.healthCheckNodePort,
				ranges,
				tx,
			);
	} else if (before !== undefined) {
		delete spec.healthCheckNodePort;
		tx.onCommit(() => ranges.ports.release(before, service.metadata.uid));
	}
}

/** Frees all addresses and ports of a deleted Service. */
export function releaseService(service: Service, ranges: Ranges): void {
	for (const ip of realIps(service.spec)) ranges.ips.get(familyOf(ip)!)?.release(ip, service.metadata.uid);
	for (const port of new Set(nodePortsOf(service.spec))) ranges.ports.release(port, service.metadata.uid);
	if (service.spec?.healthCheckNodePort)
		ranges.ports.release(service.spec.healthCheckNodePort, service.metadata.uid);
}

/** Event reasons of kube-apiserver's repair loops, for each reason of an AllocationError. */
const REASONS = {
	ip: {
		allocated: 'ClusterIPAlreadyAllocated',
		'out-of-range': 'ClusterIPOutOfRange',
		full: 'ServiceCIDRFull',
	},
	port: { allocated: 'PortAlreadyAllocated', 'out-of-range': 'PortOutOfRange', full: 'PortRangeFull' },
} as const;

/**
 * Claims the addresses and ports of a stored Service that are in range and free. No other Service
 * can then take them.
 * @returns the conflicts: values that another Service holds or that are out of range (C-19).
 */
export function adoptService(service: Service, ranges: Ranges): Conflict[] {
	const holder = service.metadata.uid ?? '';
	const conflicts: Conflict[] = [];
	const claim = (what: 'ip' | 'port', value: string | number, take: () => void) => {
		try {
			take();
		} catch (error) {
			if (!(error instanceof AllocationError)) throw error;
			const label = what === 'ip' ? 'Cluster IP' : 'Node port';
			const message = `${label} ${value}: ${error.message}; please recreate the Service`;
			conflicts.push({ reason: REASONS[what][error.why], message });
		}
	};
	for (const ip of realIps(service.spec))
		claim('ip', ip, () => {
			const range = ranges.ips.get(familyOf(ip)!);
			if (!range) throw new AllocationError('out-of-range', `the cluster has no ${familyOf(ip)} range`);
			if (range.holder(ip) !== holder) range.take(ip, holder);
		});
	const health = service.spec?.healthCheckNodePort;
	const ports = nodePortsOf(service.spec).concat(Number.isInteger(health) && health !== 0 ? health! : []);
	for (const port of new Set(ports))
		claim('port', port, () => {
			if (ranges.ports.holder(port) !== holder) ranges.ports.take(port, holder);
		});
	return conflicts;
}
