import { inject } from 'vitest';
import { type Driver, openDriver } from './cluster.ts';
import { sharedDirectory } from './shared-setup.ts';
import { maglane, openStandalone } from './standalone-cluster.ts';

const SHAPE = ['--nodes', '3', '--zones', 'zone-a,zone-a,zone-b'];

/**
 * A cluster of three nodes that the scenario files use one after the other: node1 and node2 in
 * zone-a, node3 in zone-b. The first file starts it, and the end of the run stops it. With
 * KUBECONFIG that cluster is used instead.
 */
export async function openShared(): Promise<Driver> {
	const prefix = inject('sharedPrefix');
	if (process.env['KUBECONFIG']) return openDriver(prefix);
	const directory = sharedDirectory(prefix);
	await maglane('up', '--prefix', prefix, '--state', directory, ...SHAPE);
	return openStandalone(`${directory}/kubeconfig`, directory);
}
