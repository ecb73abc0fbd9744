import type { Node } from '../port.ts';
import { ZONE_LABEL } from './endpoint.ts';

/** Labels of nodes that run no user workloads. */
const CONTROL_PLANE = ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master'];

/** Zone -> its share of the CPUs of all ready nodes. The shares sum to 1. Sorted by zone. */
export type ZoneShares = ReadonlyMap<string, number>;

/** @returns undefined if a node's zone or CPU count is unknown, or if all nodes are in one zone. */
export function zoneShares(nodes: readonly Node[]): ZoneShares | undefined {
	const workers = nodes.filter((node) => isReady(node) && !isControlPlane(node));
	const cpus = new Map<string, number>();
	for (const { metadata, status } of workers) {
		const zone = metadata.labels?.[ZONE_LABEL];
		const cpu = cpuOf(status?.allocatable?.cpu);
		if (!zone || !cpu) return undefined;
		cpus.set(zone, (cpus.get(zone) ?? 0) + cpu);
	}
	if (cpus.size < 2) return undefined;
	const total = [...cpus.values()].reduce((sum, cpu) => sum + cpu, 0);
	return new Map([...cpus].sort(([a], [b]) => (a < b ? -1 : 1)).map(([zone, cpu]) => [zone, cpu / total]));
}

/** The fields of a node that affect the shares. */
export function shareOf(node: Node | undefined): unknown[] {
	if (!node) return [];
	const { metadata, status } = node;
	return [metadata.labels?.[ZONE_LABEL], status?.allocatable?.cpu, isReady(node), isControlPlane(node)];
}

function isReady({ status }: Node): boolean {
	return status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
}

function isControlPlane({ metadata }: Node): boolean {
	return CONTROL_PLANE.some((label) => label in (metadata.labels ?? {}));
}

/** Parses a CPU quantity: `2`, `1.5`, `1500m`. Undefined for all other forms. */
function cpuOf(quantity: unknown): number | undefined {
	const [, number, milli] = /^(\d+(?:\.\d+)?)(m?)$/.exec(String(quantity)) ?? [];
	return number === undefined ? undefined : Number(number) / (milli ? 1000 : 1);
}
