import type { KubeObject } from '../port.ts';
import type { Endpoint, Hints } from './endpoint.ts';

const CLOSE = ['PreferClose', 'PreferSameZone', 'PreferSameNode'];
const TOPOLOGY_MODE = 'service.kubernetes.io/topology-mode';

/**
 * The Service's trafficDistribution, when it asks for hints (KEP-4444, KEP-3015). The annotation topology-mode Auto
 * wins over the field; its own hints by CPU share are not made.
 */
export function hintsMode(service: KubeObject): string | undefined {
	if (service.metadata.annotations?.[TOPOLOGY_MODE]?.toLowerCase() === 'auto') return undefined;
	const mode: string | undefined = service.spec?.trafficDistribution;
	return mode !== undefined && CLOSE.includes(mode) ? mode : undefined;
}

/** The endpoint with its hints: its own zone, for PreferSameNode its own node too; only ready ones get any. */
export function withHints(endpoint: Endpoint, mode: string | undefined): Endpoint {
	const { hints: _before, ...rest } = endpoint;
	const { zone, nodeName, conditions } = endpoint;
	if (!mode || !conditions.ready) return rest;
	const hints: Hints = {
		...(zone ? { forZones: [{ name: zone }] } : {}),
		...(mode === 'PreferSameNode' && nodeName ? { forNodes: [{ name: nodeName }] } : {}),
	};
	return Object.keys(hints).length > 0 ? { ...rest, hints } : rest;
}
