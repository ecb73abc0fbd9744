/** The specification of a topology. */
import type { Need } from '../../../scripts/machine.ts';
import type { Check } from './check.ts';
import type { Lab } from './lab.ts';

export type Family = 'v4' | 'v6';
/** Programs on the node devices: XDP before TC, or TC alone. */
export type Mode = 'XDP' | 'TC';
export const FAMILIES: readonly Family[] = ['v4', 'v6'];

/**
 * Cells that fail here by design or by a limit of the kernel, with the reason. Such a cell must
 * fail.
 */
export interface Degraded {
	/** Ids of checks. */
	readonly checks: readonly string[];
	readonly modes?: readonly Mode[];
	readonly families?: readonly Family[];
	/** One sentence for docs/networks.md. */
	readonly why: string;
}

export interface Spec {
	/** Name in docs/networks.md. */
	readonly name: string;
	/** The real network that it models. */
	readonly models: string;
	/** Required kernel features and tools. The first missing one is the result of the topology. */
	readonly needs?: readonly Need[];
	/** Modes that differ here. TC alone if the node device has no native XDP. */
	readonly modes: readonly Mode[];
	/** Builds everything in an empty `lab`. */
	build(lab: Lab): void | Promise<void>;
	/** Further arguments of the agents. */
	readonly agent?: readonly string[];
	/**
	 * Source address of an outside client at a remote backend, chosen by the egress route. node1's
	 * address if absent.
	 */
	readonly source?: Readonly<Record<Family, string>>;
	/**
	 * Source address of an outside client at a backend of node1, if the pod would otherwise reply
	 * past its node. The client's own address if absent.
	 */
	readonly localSource?: Readonly<Record<Family, string>>;
	/** Whether the outside sees the node address instead of the pod address. */
	readonly masquerade?: boolean;
	/** Pods have no device on the node, so no program sees their packets there. */
	readonly podsUnseen?: boolean;
	/** Checks of this topology only. */
	readonly checks?: readonly Check[];
	/** Another topology has the same network and runs the common checks. */
	readonly ownChecksOnly?: boolean;
	readonly degraded?: readonly Degraded[];
}
