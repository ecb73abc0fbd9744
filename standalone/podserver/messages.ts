/** Messages between the control plane and the pod server process (channel.ts). */
import type { Behaviour } from './protocol.ts';

export type Protocol = 'TCP' | 'UDP';

export interface PortSpec {
	readonly protocol: Protocol;
	readonly port: number;
	/** The container that owns the port. */
	readonly container: string;
}

export interface PodSpec {
	/** Unique id: the pod's uid. */
	readonly id: string;
	readonly netns: string;
	readonly hostname: string;
	readonly behaviour: Behaviour;
	readonly terminating: boolean;
	/** Log file of each container, by container name. */
	readonly logs: Readonly<Record<string, string>>;
	/** The desired ports. All other open ports are closed. */
	readonly ports: readonly PortSpec[];
}

/** A `serve` for the same id replaces the ports of the earlier one. */
export type Request =
	| { readonly type: 'serve'; readonly sequence: number; readonly pod: PodSpec }
	| { readonly type: 'stop'; readonly sequence: number; readonly id: string }
	/** All other pods belong to an earlier control plane and no longer exist */
	| { readonly type: 'retain'; readonly ids: readonly string[] }
	| { readonly type: 'end' };

export interface PortFailure extends PortSpec {
	/** The error with the errno name. */
	readonly reason: string;
}

export interface Reply {
	readonly sequence: number;
	/** Ports that could not be opened. All others are open. */
	readonly failures: readonly PortFailure[];
}
