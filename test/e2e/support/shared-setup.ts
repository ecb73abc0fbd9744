/**
 * Setup of the tier: provides the name of the shared cluster of this run, and stops the cluster at
 * the end.
 */
import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { maglane } from './standalone-cluster.ts';

declare module 'vitest' {
	interface ProvidedContext {
		sharedPrefix: string;
	}
}

/**
 * The prefix includes the pid of the run. Two runs therefore have two clusters, and the clusters of
 * dead runs are recognisable.
 */
const PREFIX = 'e2es';
const DIRECTORY = /^e2es([0-9a-z]+)-shared$/;
const prefixOf = (pid: number) => `${PREFIX}${pid.toString(36)}`;

export const sharedDirectory = (prefix: string) => join(tmpdir(), `${prefix}-shared`);

export async function setup(project: TestProject): Promise<void> {
	project.provide('sharedPrefix', prefixOf(process.pid));
	for (const name of readdirSync(tmpdir())) {
		const pid = Number.parseInt(DIRECTORY.exec(name)?.[1] ?? '', 36);
		if (pid && !existsSync(`/proc/${pid}`)) await stop(prefixOf(pid));
	}
}

export async function teardown(): Promise<void> {
	await stop(prefixOf(process.pid));
}

async function stop(prefix: string): Promise<void> {
	const directory = sharedDirectory(prefix);
	if (!existsSync(directory)) return;
	await maglane('down', '--prefix', prefix, '--state', directory);
	await rm(directory, { recursive: true, force: true });
}
