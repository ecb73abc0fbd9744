/**
 * Which endpoints a frontend may use: the rules of kube-proxy (pkg/proxy/topology.go, KEP-1669, KEP-2086, KEP-2433,
 * KEP-3015), and nothing else.
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
	/** Empty: nothing to use. */
	readonly backends: readonly C[];
	/** Nothing here, but elsewhere: silence lets the client's retry reach another node. Else it is refused. */
	readonly drop: boolean;
}

/** Ready ones; if there is none, those that still serve while they end. */
function usable<C extends Candidate>(candidates: readonly C[]): readonly C[] {
	const ready = candidates.filter((c) => c.ready);
	return ready.length > 0 ? ready : candidates.filter((c) => c.serving && c.terminating);
}

/** Hints hold only if every ready endpoint has one, and one names us; node hints before zone hints. */
function hinted<C extends Candidate>(ready: readonly C[], place: Place): readonly C[] {
	const node = ready.filter((c) => c.forNodes.includes(place.node));
	if (node.length > 0 && ready.every((c) => c.forNodes.length > 0)) return node;
	const zone = place.zone === '' ? [] : ready.filter((c) => c.forZones.includes(place.zone));
	return zone.length > 0 && ready.every((c) => c.forZones.length > 0) ? zone : ready;
}

/** What policy Cluster uses. */
export function clusterSet<C extends Candidate>(candidates: readonly C[], place: Place): readonly C[] {
	const found = usable(candidates);
	return found[0]?.ready ? hinted(found, place) : found;
}

/** What policy Local uses. Hints do not apply. */
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
 * Whether only this node's endpoints may be used: internalTrafficPolicy rules ClusterIPs, wherever the client is;
 * externalTrafficPolicy rules the other addresses, and only for clients outside: pods and processes of this node
 * are short-circuited to the whole set.
 */
export function wantsLocal(service: Policies, clusterIp: boolean, scope: 'external' | 'internal'): boolean {
	return clusterIp ? service.internalLocal : service.externalLocal && scope === 'external';
}
