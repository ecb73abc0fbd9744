/** Services of type LoadBalancer -> addresses of the pool in their status. */

import type { V1Condition } from '@kubernetes/client-node';
import type { ControllerContext } from '../controllers/context.ts';
import { byAge, canonical, isTerminating, keyOf } from '../controllers/meta.ts';
import { conditionOf } from '../controllers/pod-state.ts';
import type { WorkQueue } from '../controllers/queue.ts';
import type { Json, Service } from '../port.ts';
import { timestamp } from '../timestamp.ts';
import { type Assignment, addressesOf, assign, isOurs } from './assign.ts';
import type { AddressPool } from './pool.ts';

type Condition = Json<V1Condition>;

const COMPONENT = 'maglane-load-balancer';
const CONDITION = 'maglane.io/LoadBalancerAllocated';

/**
 * Allocates and frees addresses. The status of the Services is the only record of allocations, so a
 * restart has nothing to restore. A deleted Service, or one that changes its type, frees its
 * addresses that way.
 */
export function startAllocation(ctx: ControllerContext, pool: AddressPool): WorkQueue {
	const { services } = ctx.caches;
	/** Keys of Services for which there was no address. */
	const waiting = new Set<string>();
	const queue = ctx.queue('load-balancer', (key) => {
		waiting.delete(key);
		const service = services.get(key);
		if (!service || isTerminating(service) || !isOurs(service, pool)) return;
		const assignment = assign(service, pool, (address) => holderOf(ctx, pool, service, address));
		if (!('ips' in assignment)) waiting.add(key);
		write(ctx, service, assignment);
	});
	services.subscribe((before, after) => {
		if (after?.spec?.type === 'LoadBalancer') queue.add(keyOf(after));
		const had = before ? addressesOf(before, pool) : [];
		const has = after ? addressesOf(after, pool) : [];
		if (had.some((address) => !has.includes(address))) for (const key of waiting) queue.add(key);
	});
	return queue;
}

/** Another Service that holds the address. Of two, the older one keeps it. */
function holderOf(
	ctx: ControllerContext,
	pool: AddressPool,
	service: Service,
	address: string,
): string | undefined {
	const others = ctx.caches.services
		.by('ingress', address)
		.filter(({ metadata }) => metadata.uid !== service.metadata.uid);
	const own = addressesOf(service, pool).includes(address);
	const winner = others.sort(byAge).find((other) => !own || byAge(other, service) < 0);
	return winner && keyOf(winner);
}

function write(ctx: ControllerContext, service: Service, assignment: Assignment): void {
	const ips = 'ips' in assignment ? assignment.ips : [];
	const loadBalancer = ips.length > 0 ? { ingress: ips.map((ip) => ({ ip, ipMode: 'VIP' })) } : {};
	const before = service.status ?? {};
	const conditions = withCondition(service, assignment, timestamp(ctx.clock.now()));
	const status = { ...before, loadBalancer, conditions };
	if (canonical(status) === canonical(before)) return;
	ctx.caches.services.update({ ...service, status }, 'status');
	if (!('ips' in assignment)) {
		const { reason, message } = assignment;
		ctx.record(service, { component: COMPONENT, type: 'Warning', reason, message });
	} else if (canonical(loadBalancer) !== canonical(before.loadBalancer ?? {})) {
		const message = `Assigned IP ${JSON.stringify(ips)}`;
		ctx.record(service, { component: COMPONENT, reason: 'IPAllocated', message });
	}
}

function withCondition(service: Service, assignment: Assignment, now: string): Condition[] {
	const next: Omit<Condition, 'lastTransitionTime'> =
		'ips' in assignment
			? { type: CONDITION, status: 'True', reason: 'IPAllocated', message: '' }
			: { type: CONDITION, status: 'False', ...assignment };
	const before = conditionOf(service, CONDITION);
	const kept = before?.status === next.status ? before.lastTransitionTime : undefined;
	const others = (service.status?.conditions ?? []).filter(({ type }) => type !== CONDITION);
	return [...others, { ...next, lastTransitionTime: kept ?? now }];
}
