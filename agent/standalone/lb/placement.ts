/** Addresses of Services -> the node that answers for each. */
import type { Caches } from '../controllers/caches.ts';
import type { ControllerContext } from '../controllers/context.ts';
import { isTerminating, keyOf } from '../controllers/meta.ts';
import { conditionOf } from '../controllers/pod-state.ts';
import type { WorkQueue } from '../controllers/queue.ts';
import { familyOf } from '../controllers/service-info.ts';
import type { KubeObject } from '../port.ts';
import { addressesOf } from './assign.ts';
import { chooseNode } from './choose.ts';
import type { AddressPool } from './pool.ts';

/** Makes nodes answer for addresses, and others not. */
export interface Announcer {
	/**
	 * Address -> node; what is not in it is answered by nobody.
	 * @param placed is told of each address that moved or is new. @throws when one could not, after all others.
	 */
	apply(
		placement: ReadonlyMap<string, string>,
		placed: (address: string, node: string) => void,
	): Promise<void>;
}

export interface NodeHealth {
	/** Whether the node's agent answers. */
	healthy(node: string): boolean;
	/** Nobody is asked while nothing depends on the answers. */
	watch(needed: boolean): void;
	/** Calls back when an answer changes. */
	subscribe(changed: () => void): void;
}

const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';
const PROXY_NAME = 'service.kubernetes.io/service-proxy-name';
const KEY = 'placement';

/** One sync places all addresses: it moves only those of which the choice differs. */
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

/** What a cloud's load balancer asks of a node (KEP-3458): it is ready, and not taken out; cordoning does not matter. */
function isEligible(node: KubeObject): boolean {
	const ready = conditionOf(node, 'Ready')?.status === 'True';
	return ready && !isTerminating(node) && node.metadata.labels?.[EXCLUDED] === undefined;
}

interface Endpoint {
	nodeName?: string;
	conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
}

/**
 * With externalTrafficPolicy Local, the nodes with a usable endpoint of the address's family: a ready one, else one that
 * still serves while it ends. Undefined: any node will do.
 */
function localNodes(caches: Caches, service: KubeObject, address: string): Set<string> | undefined {
	if (service.spec?.externalTrafficPolicy !== 'Local') return undefined;
	const endpoints: Endpoint[] = caches.endpointslices
		.by('service', keyOf(service))
		.filter(({ addressType }) => addressType === familyOf(address))
		.flatMap((slice) => slice['endpoints'] ?? []);
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
