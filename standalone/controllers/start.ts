import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import { type Clock, wallClock } from '../../agent/base/clock.ts';
import { startAllocation } from '../lb/allocation.ts';
import { type Announcer, type NodeHealth, startPlacement } from '../lb/placement.ts';
import type { AddressPool } from '../lb/pool.ts';
import type { ObjectApi } from '../port.ts';
import type { Cache } from './cache.ts';
import { createCaches } from './caches.ts';
import type { ControllerContext } from './context.ts';
import { startDaemonSets } from './daemonset.ts';
import { startDeployments } from './deployment.ts';
import { startEndpoints } from './endpoint-controller.ts';
import { createRecorder } from './event-recorder.ts';
import { startLostNodes } from './lost-node.ts';
import { type ApiAddress, startMasterService } from './master-service.ts';
import { startMirroring } from './mirror-controller.ts';
import { randomSuffix } from './names.ts';
import { createQueue, type WorkQueue } from './queue.ts';
import { startReplicaSets } from './replicaset.ts';
import { startScheduler } from './scheduler.ts';
import { startStatefulSets } from './statefulset.ts';

export interface ControllersOptions {
	log: Logger;
	clock?: Clock;
	/** Generates the random part of names, 5 characters. */
	suffix?: () => string;
	/** The endpoints of default/kubernetes. If undefined, the controllers leave them alone. */
	apiAddress?: ApiAddress;
	/**
	 * Address pool for Services of type LoadBalancer. Without a pool, they stay pending, as on a
	 * cluster without a cloud.
	 */
	pool?: AddressPool;
	/** Makes nodes announce addresses of the pool. */
	announcing?: { announcer: Announcer; health: NodeHealth };
}

export interface Controllers {
	/** Whether no key is queued. Delayed changes do not count. */
	idle(): boolean;
}

/**
 * Starts the controllers behind Services: Deployment, ReplicaSet, StatefulSet, DaemonSet,
 * scheduler, Endpoints, EndpointSlices, LoadBalancer addresses, and pods of lost nodes. They run in
 * this process until the signal aborts.
 */
export function startControllers(
	api: ObjectApi,
	options: ControllersOptions,
	stop: AbortSignal,
): Controllers {
	// Every queue and every cache adds a listener to this signal
	const signal = AbortSignal.any([stop]);
	setMaxListeners(0, signal);
	const { log, clock = wallClock, suffix = randomSuffix, apiAddress, pool, announcing } = options;
	const caches = createCaches(api);
	const ctx: ControllerContext = {
		caches,
		clock,
		log,
		record: createRecorder(api, clock, log),
		suffix,
		queue: (name, sync) => createQueue({ name, sync, clock, log, signal }),
	};
	const queues: WorkQueue[] = [
		startDeployments(ctx),
		startReplicaSets(ctx),
		startStatefulSets(ctx),
		startDaemonSets(ctx),
		startScheduler(ctx),
		startEndpoints(ctx),
		startMirroring(ctx),
		startLostNodes(ctx),
		...(pool ? [startAllocation(ctx, pool)] : []),
		...(pool && announcing ? [startPlacement(ctx, pool, announcing)] : []),
		...(apiAddress ? [startMasterService(ctx, apiAddress)] : []),
	];
	for (const cache of Object.values(caches) as Cache[]) cache.start(signal);
	return { idle: () => queues.every((queue) => queue.idle()) };
}
