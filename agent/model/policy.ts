/**
 * Selects the endpoints that a frontend may use, by the rules of kube-proxy (pkg/proxy/topology.go,
 * KEP-1669, KEP-2086, KEP-2433, KEP-3015).
 */
export interface Candidate {
	readonly ready: boolean;
	readonly serving: boolean;
	readonly terminating: boolean;
	/** On this node. */
	readonly local: boolean;
	readonly forZones: readonly string[];
	readonly forNodes: readonly string[];
}

export interface Place {
	readonly node: string;
	/** Empty: unknown. */
	readonly zone: string;
}

export interface Decision<C> {
	/** Empty: no usable endpoint. */
	readonly backends: readonly C[];
	/**
	 * No usable endpoint here, but some elsewhere. Packets are dropped, so that the client's retry
	 * may reach another node. Otherwise they are refused.
	 */
	readonly drop: boolean;
}

/** Ready endpoints; without any, the terminating ones that still serve. */
function usable<C extends Candidate>(candidates: readonly C[]): readonly C[] {
	const ready = candidates.filter((c) => c.ready);
	return ready.length > 0 ? ready : candidates.filter((c) => c.serving && c.terminating);
}

/**
 * Hints apply only if every ready endpoint has one, and one names this node or zone. Node hints
 * precede zone hints.
 */
function hinted<C extends Candidate>(ready: readonly C[], place: Place): readonly C[] {
	const node = ready.filter((c) => c.forNodes.includes(place.node));
	if (node.length > 0 && ready.every((c) => c.forNodes.length > 0)) return node;
	const zone = place.zone === '' ? [] : ready.filter((c) => c.forZones.includes(place.zone));
	return zone.length > 0 && ready.every((c) => c.forZones.length > 0) ? zone : ready;
}

/** Endpoints for policy Cluster. */
export function clusterSet<C extends Candidate>(candidates: readonly C[], place: Place): readonly C[] {
	const found = usable(candidates);
	return found[0]?.ready ? hinted(found, place) : found;
}

/** Endpoints for policy Local. Hints do not apply. */
export function localSet<C extends Candidate>(candidates: readonly C[]): readonly C[] {
	return usable(candidates.filter((c) => c.local));
}

export function decide<C extends Candidate>(
	local: boolean,
	candidates: readonly C[],
	place: Place,
): Decision<C> {
	const cluster = clusterSet(candidates, place);
	if (!local) return { backends: cluster, drop: false };
	const here = localSet(candidates);
	return { backends: here, drop: here.length === 0 && cluster.length > 0 };
}

export interface Policies {
	readonly internalLocal: boolean;
	readonly externalLocal: boolean;
}

/**
 * Whether only endpoints of this node may be used. internalTrafficPolicy applies to ClusterIPs,
 * wherever the client is. externalTrafficPolicy applies to the other addresses, and only to clients
 * outside of the node: its pods and processes may use the whole set.
 */
export function wantsLocal(service: Policies, clusterIp: boolean, scope: 'external' | 'internal'): boolean {
	return clusterIp ? service.internalLocal : service.externalLocal && scope === 'external';
}
