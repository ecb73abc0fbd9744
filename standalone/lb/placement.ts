/** Addresses of Services -> the node that answers for each. */
import type { Caches } from '../controllers/caches.ts';
import type { ControllerContext } from '../controllers/context.ts';
import { isTerminating, keyOf } from '../controllers/meta.ts';
import { conditionOf } from '../controllers/pod-state.ts';
import type { WorkQueue } from '../controllers/queue.ts';
import { familyOf } from '../controllers/service-info.ts';
import type { Node, Service } from '../port.ts';
import { addressesOf } from './assign.ts';
import { chooseNode } from './choose.ts';
import type { AddressPool } from './pool.ts';

/** Makes each address answered by exactly one node. */
export interface Announcer {
	/**
	 * Applies a map of address -> node. No node answers for other addresses.
	 * @param placed called for each new or moved address.
	 * @throws the first error, after all addresses were tried.
	 */
	apply(
		placement: ReadonlyMap<string, string>,
		placed: (address: string, node: string) => void,
	): Promise<void>;
}

export interface NodeHealth {
	/** Whether the node's agent is healthy. */
	healthy(node: string): boolean;
	/** Starts or stops the polling. It runs only while the placement needs the health. */
	watch(needed: boolean): void;
	/** Calls `changed` when the health of a node changes. */
	subscribe(changed: () => void): void;
}

const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';
const PROXY_NAME = 'service.kubernetes.io/service-proxy-name';
const KEY = 'placement';

/** One sync places all addresses. It moves only those with a new choice of node. */
export function startPlacement(
	ctx: ControllerContext,
	pool: AddressPool,
	{ announcer, health }: { announcer: Announcer; health: NodeHealth },
): WorkQueue {
	const { services, endpointslices, nodes } = ctx.caches;
	const queue = ctx.queue('announcer', async () => {
		const placement = placeAll(ctx.caches, pool, health);
		health.watch(placement.size > 0);
		await announcer.apply(placement, (address, node) => tell(ctx, address, node));
	});
	for (const cache of [services, endpointslices, nodes]) cache.subscribe(() => queue.add(KEY));
	health.subscribe(() => queue.add(KEY));
	return queue;
}

function placeAll(caches: Caches, pool: AddressPool, health: NodeHealth): Map<string, string> {
	const nodes = [...caches.nodes.all()]
		.filter(isEligible)
		.map(({ metadata: { name } }) => ({ name, healthy: health.healthy(name) }));
	const placement = new Map<string, string>();
	for (const service of caches.services.by('type', 'LoadBalancer')) {
		if (isTerminating(service) || service.metadata.labels?.[PROXY_NAME] !== undefined) continue;
		for (const address of addressesOf(service, pool)) {
			const local = localNodes(caches, service, address);
			const node = chooseNode(address, local ? nodes.filter(({ name }) => local.has(name)) : nodes);
			if (node) placement.set(address, node);
		}
	}
	return placement;
}

/**
 * Whether a cloud's load balancer would use the node (KEP-3458): it is ready and not excluded.
 * Cordoning does not matter.
 */
function isEligible(node: Node): boolean {
	const ready = conditionOf(node, 'Ready')?.status === 'True';
	return ready && !isTerminating(node) && node.metadata.labels?.[EXCLUDED] === undefined;
}

/**
 * The nodes with a usable endpoint in the address's family, for externalTrafficPolicy Local. Ready
 * endpoints are usable; if there are none, terminating ones that still serve. Undefined without the
 * policy: all nodes are usable.
 */
function localNodes(caches: Caches, service: Service, address: string): Set<string> | undefined {
	if (service.spec?.externalTrafficPolicy !== 'Local') return undefined;
	const endpoints = caches.endpointslices
		.by('service', keyOf(service))
		.filter(({ addressType }) => addressType === familyOf(address))
		.flatMap((slice) => slice.endpoints ?? []);
	const ready = endpoints.filter(({ conditions }) => conditions?.ready !== false);
	const ending = endpoints.filter(({ conditions }) => conditions?.serving && conditions.terminating);
	const usable = ready.length > 0 ? ready : ending;
	return new Set(usable.flatMap(({ nodeName }) => (nodeName ? [nodeName] : [])));
}

function tell(ctx: ControllerContext, address: string, node: string): void {
	const how = address.includes(':') ? 'NDP' : 'ARP';
	const message = `announcing ${address} from node ${JSON.stringify(node)} with ${how}`;
	for (const service of ctx.caches.services.by('ingress', address))
		ctx.record(service, { component: 'maglane-load-balancer', reason: 'nodeAssigned', message });
}
