import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Driver, openDriver } from './cluster.ts';
import { maglane, openStandalone } from './standalone-cluster.ts';

const PREFIX = 'e2eshared';
const DIRECTORY = join(tmpdir(), `${PREFIX}-cluster`);
const SHAPE = ['--nodes', '3', '--zones', 'zone-a,zone-a,zone-b'];

/**
 * A cluster of three nodes, node1 and node2 in zone-a and node3 in zone-b, that the files of scenarios use one after
 * the other: the first starts it, the end of the run stops it. With KUBECONFIG that cluster.
 */
export async function openShared(): Promise<Driver> {
	if (process.env['KUBECONFIG']) return openDriver(PREFIX);
	await maglane('up', '--prefix', PREFIX, '--state', DIRECTORY, ...SHAPE);
	return openStandalone(join(DIRECTORY, 'kubeconfig'), DIRECTORY);
}

async function stop(): Promise<void> {
	if (!existsSync(DIRECTORY)) return;
	await maglane('down', '--prefix', PREFIX, '--state', DIRECTORY);
	await rm(DIRECTORY, { recursive: true, force: true });
}

/** Of the tier: what a run before left is of other code. */
export const setup = stop;
export const teardown = stop;
