import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Prober } from './prober.ts';
import { openRealCluster } from './real-cluster.ts';
import { openStandalone, startStandalone } from './standalone-cluster.ts';

/** The origin of traffic. Pods are in the tests' namespace and have a container named `probe`. */
export type Place = { node: string } | { pod: string; namespace: string } | 'outside';

export interface NodeInfo {
	name: string;
	/** InternalIP of each family that the node has. */
	v4?: string;
	v6?: string;
	zone?: string;
}

/** The differences between a standalone cluster and a real one. */
export interface Driver {
	readonly kind: 'standalone' | 'real';
	readonly kubeconfig: string;
	/** A change of the API takes effect in traffic within this time, ms, also on a busy machine. */
	readonly convergenceMs: number;
	/** Starts a probe process in the place. The caller disposes of it. */
	startProbe(place: Place): Promise<Prober>;
	/** The addresses of the outside client, where they are known. */
	readonly outside?: Readonly<Record<'v4' | 'v6', string>>;
	/**
	 * Routes addresses that no device has from the outside client to nodes. Not every cluster
	 * supports it.
	 */
	routeOutside?(routes: readonly (readonly [address: string, node: NodeInfo])[]): Promise<void>;
	/** Sends SIGKILL to the node's agent. */
	killAgent(node: string): Promise<void>;
	/**
	 * Sends SIGSTOP to the node's agent. Not every cluster supports it.
	 * @returns a function that resumes the agent
	 */
	freezeAgent?(node: string): Promise<() => void>;
	/** Resolves when the node's agent is ready (again). */
	agentReady(node: string): Promise<void>;
	close(): Promise<void>;
}

/**
 * Opens the cluster of KUBECONFIG, or starts a standalone cluster that close() stops. Files beside
 * the kubeconfig identify a standalone cluster.
 * @param prefix of the names of a cluster that is started here
 */
export async function openDriver(prefix: string): Promise<Driver> {
	const kubeconfig = process.env['KUBECONFIG'];
	if (!kubeconfig) return startStandalone(prefix);
	const directory = dirname(kubeconfig);
	if (existsSync(join(directory, 'state.json'))) return openStandalone(kubeconfig, directory);
	return openRealCluster(kubeconfig);
}
