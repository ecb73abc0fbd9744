/** Address pool and announcer for Services of type LoadBalancer. */
import type { Logger } from 'pino';
import { wallClock } from '../../agent/base/clock.ts';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import type { ControllersOptions } from '../controllers/start.ts';
import { type AgentAnswer, createAgentWatch } from '../lb/agent-watch.ts';
import { KernelAnnouncer } from '../lb/kernel-announcer.ts';
import { AddressPool } from '../lb/pool.ts';
import { nodeAddresses } from '../net/addresses.ts';
import { clientNamespace, nodeName, nodeNamespace } from '../net/names.ts';
import { agentHealth } from './health.ts';
import type { ClusterOptions } from './options.ts';

/** @param switcher undefined: addresses are allocated but not announced. */
export function loadBalancing(
	options: ClusterOptions,
	switcher: NetnsSwitcher | undefined,
	log: Logger,
	signal: AbortSignal,
): Pick<ControllersOptions, 'pool' | 'announcing'> {
	if (options.lbPool === undefined) return {};
	const pool = new AddressPool(options.lbPool);
	if (!switcher) return { pool };
	const { prefix } = options;
	const addresses = new Map(
		Array.from({ length: options.nodes }, (_, i) => [nodeName(i + 1), nodeAddresses(i + 1)]),
	);
	const nodes = [...addresses.keys()];
	const netnsOf = (node: string) => nodeNamespace(prefix, node);
	const announcer = new KernelAnnouncer({ switcher, nodes, netnsOf, log, signal });
	const from = clientNamespace(prefix);
	const ask = async (node: string): Promise<AgentAnswer> =>
		options.agents ? agentHealth(switcher, from, addresses.get(node)!.v4) : 'well';
	const health = createAgentWatch({ nodes, ask, clock: wallClock, signal });
	return { pool, announcing: { announcer, health } };
}
