/** Parts of an agent: its node's dataplane, its configuration, and resources of the process. */
import type { Logger } from 'pino';
import type { Clock } from '../base/clock.ts';
import type { BpfMap, ServiceMaps } from '../bpf/port.ts';
import type { BackendGroup, Destroyed } from '../bpf/sock-destroy.ts';
import type { AgentStatus } from '../cli/agent-status.ts';
import type { Config } from '../config.ts';
import type { RunningServer } from '../http/server.ts';
import type { ApiTarget } from '../kube/kubeconfig.ts';

/** The attached programs and the maps of this node. */
export interface AgentDataplane {
	readonly maps: ServiceMaps;
	/** struct tuple -> struct conn. */
	readonly connections: BpfMap;
	/** struct sock_key -> struct sock_frontend. */
	readonly sockets: BpfMap;
	/** enum reason -> struct counter of every CPU. */
	readonly counters: BpfMap;
	/** Attachments of the programs, and degradations in words. */
	status(): Pick<AgentStatus, 'attachments' | 'degradations'>;
	/** Ends sockets of the node that socket load balancing has connected to these backends. */
	destroySockets(group: BackendGroup): Destroyed;
	/** Passes all addresses of the node's devices: when they are known, and at each change. */
	followAddresses(listener: (addresses: readonly string[]) => void): void;
	/** Reports that the maps contain all Services. */
	filled(): void;
	/** Excludes the sockets of these pods, by UID, and of no others. */
	leaveOut(pods: readonly string[]): void;
	/** Sets the node's addresses. The devices that have them face other nodes. */
	setNodeAddresses(addresses: readonly string[]): void;
}

export interface AgentOptions {
	readonly config: Config;
	readonly dataplane: AgentDataplane;
	readonly target: ApiTarget;
	readonly log: Logger;
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	readonly version: string;
	readonly abi: number;
	/** Aborts to stop the agent; its state in the kernel stays. */
	readonly signal: AbortSignal;
	/** Called when the agent's servers listen. */
	readonly started?: (servers: { health?: RunningServer; metrics?: RunningServer }) => void;
}
