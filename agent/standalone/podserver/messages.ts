/** What the control plane and the pod server process say to each other (channel.ts). */
import type { Behaviour } from './protocol.ts';

export type Protocol = 'TCP' | 'UDP';

export interface PortSpec {
	readonly protocol: Protocol;
	readonly port: number;
	/** Whose it is. */
	readonly container: string;
}

export interface PodSpec {
	/** Unique: the pod's uid. */
	readonly id: string;
	readonly netns: string;
	readonly hostname: string;
	readonly behaviour: Behaviour;
	readonly terminating: boolean;
	/** Files that take what containers log, by their names. */
	readonly logs: Readonly<Record<string, string>>;
	/** What is to be open: ports that are open and not in here are closed. */
	readonly ports: readonly PortSpec[];
}

/** `serve` may come again with other ports for the same id. */
export type Request =
	| { readonly type: 'serve'; readonly sequence: number; readonly pod: PodSpec }
	| { readonly type: 'stop'; readonly sequence: number; readonly id: string }
	/** All pods but these are of an earlier control plane and gone. */
	| { readonly type: 'retain'; readonly ids: readonly string[] }
	| { readonly type: 'end' };

export interface PortFailure extends PortSpec {
	/** Why it is not open, with the errno's name. */
	readonly reason: string;
}

export interface Reply {
	readonly sequence: number;
	/** Ports that could not be opened; the others are. */
	readonly failures: readonly PortFailure[];
}
