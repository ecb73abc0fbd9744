import type { Service } from '../port.ts';
import type { Endpoint, Hints } from './endpoint.ts';
import type { ZoneShares } from './zone-shares.ts';
import { spreadZones } from './zone-spread.ts';

const CLOSE = ['PreferClose', 'PreferSameZone', 'PreferSameNode'];
const TOPOLOGY_MODE = 'service.kubernetes.io/topology-mode';
/** The annotation's name before Kubernetes 1.27. */
const TOPOLOGY_AWARE = 'service.kubernetes.io/topology-aware-hints';

/**
 * Whether the Service distributes endpoints over zones in proportion to their CPUs. This overrides
 * trafficDistribution.
 */
export function spreadsByZone({ metadata }: Service): boolean {
	const mode = metadata.annotations?.[TOPOLOGY_MODE] ?? metadata.annotations?.[TOPOLOGY_AWARE];
	return mode === 'Auto' || mode === 'auto';
}

/**
 * Returns the endpoints with the hints that the Service requests (KEP-2433, KEP-4444, KEP-3015).
 * Only ready endpoints get hints.
 *
 * @param endpoints all endpoints of one family
 * @param shares undefined if unknown
 */
export function withHints(
	service: Service,
	endpoints: readonly Endpoint[],
	shares: ZoneShares | undefined,
): Endpoint[] {
	const mode: string | undefined = service.spec?.trafficDistribution;
	if (spreadsByZone(service)) return spread(endpoints, shares);
	const close = mode !== undefined && CLOSE.includes(mode);
	return endpoints.map((endpoint) => {
		const { zone, nodeName, conditions } = endpoint;
		if (!close || !conditions.ready) return endpoint;
		const hints: Hints = {
			...(zone ? { forZones: [{ name: zone }] } : {}),
			...(mode === 'PreferSameNode' && nodeName ? { forNodes: [{ name: nodeName }] } : {}),
		};
		return Object.keys(hints).length > 0 ? { ...endpoint, hints } : endpoint;
	});
}

/**
 * Sets zone hints. If a ready endpoint has no zone, no endpoint gets hints: hints apply only if all
 * have one.
 */
function spread(endpoints: readonly Endpoint[], shares: ZoneShares | undefined): Endpoint[] {
	const ready = endpoints.filter(({ conditions }) => conditions.ready);
	const zones = ready.flatMap(({ zone }) => zone ?? []);
	const chosen = shares && zones.length === ready.length ? spreadZones(zones, shares) : undefined;
	if (!chosen) return [...endpoints];
	const zoneOf = new Map(ready.map((endpoint, i) => [endpoint, chosen[i]!]));
	return endpoints.map((endpoint) => {
		const name = zoneOf.get(endpoint);
		return name === undefined ? endpoint : { ...endpoint, hints: { forZones: [{ name }] } };
	});
}
