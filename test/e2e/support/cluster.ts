import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Prober } from './prober.ts';
import { openRealCluster } from './real-cluster.ts';
import { openStandalone, startStandalone } from './standalone-cluster.ts';

/** Where traffic comes from. Pods are of the tests' namespace and have a container named `probe`. */
export type Place = { node: string } | { pod: string; namespace: string } | 'outside';

export interface NodeInfo {
	name: string;
	/** InternalIP of each family that it has. */
	v4?: string;
	v6?: string;
	zone?: string;
}

/** What differs between a standalone cluster and a real one. */
export interface Driver {
	readonly kind: 'standalone' | 'real';
	readonly kubeconfig: string;
	/** Within this time a change of the API shows in traffic, ms. */
	readonly convergenceMs: number;
	/** A probe process in the place; the caller disposes of it. */
	startProbe(place: Place): Promise<Prober>;
	/** The addresses of who is outside, where they are known. */
	readonly outside?: Readonly<Record<'v4' | 'v6', string>>;
	/** Who is outside sends to a node for an address that no device has; cannot be done everywhere. */
	routeOutside?(routes: readonly (readonly [address: string, node: NodeInfo])[]): Promise<void>;
	/** kill -9 of the node's agent. */
	killAgent(node: string): Promise<void>;
	/** Resolves when the node's agent is ready (again). */
	agentReady(node: string): Promise<void>;
	close(): Promise<void>;
}

/**
 * The cluster of KUBECONFIG (a standalone one is recognised by what lies beside the file), else a standalone one that
 * is started for the caller and stopped by close().
 * @param prefix of the names of a cluster that is started here.
 */
export async function openDriver(prefix: string): Promise<Driver> {
	const kubeconfig = process.env['KUBECONFIG'];
	if (!kubeconfig) return startStandalone(prefix);
	const directory = dirname(kubeconfig);
	if (existsSync(join(directory, 'state.json'))) return openStandalone(kubeconfig, directory);
	return openRealCluster(kubeconfig);
}
