/**
 * Tests public clients with the kubeconfig of `maglane standalone up` and with the credentials of a
 * pod.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { run } from '../e2e/support/process.ts';
import { maglane } from '../e2e/support/standalone-cluster.ts';
import { buildGo, buildPython, reasonAgainst } from './support/builds.ts';
import { clientNode } from './support/client-node.ts';
import type { Client, Facts, KindFacts, Rights } from './support/facts.ts';
import { kubectl } from './support/kubectl.ts';
import { go, python } from './support/programs.ts';

/** The first build of a client downloads its dependencies. */
const BUILD_MS = 400_000;
const PREFIX = 'mlclients';
const VIEWER = 'viewer';

let directory: string;
let kubeconfig: string;
let account: string;
let environment: Record<string, string>;

const owner = (...args: string[]) => run('kubectl', ['--kubeconfig', kubeconfig, ...args]);

beforeAll(async () => {
	directory = mkdtempSync(join(tmpdir(), `${PREFIX}-`));
	const state = join(directory, 'state');
	kubeconfig = join(state, 'kubeconfig');
	await maglane('up', '--no-net', '--prefix', PREFIX, '--state', state);
	await owner('create', 'serviceaccount', VIEWER);
	await owner('create', 'rolebinding', VIEWER, '--clusterrole=view', `--serviceaccount=default:${VIEWER}`);
	await writeAccount();
}, 60_000);
afterAll(async () => {
	await maglane('down', '--prefix', PREFIX, '--state', join(directory, 'state'));
	await rm(directory, { recursive: true, force: true });
}, 60_000);

/** Writes the service account files that a pod finds in its file system, and its environment. */
async function writeAccount(): Promise<void> {
	const { cluster } = parse(await readFile(kubeconfig, 'utf8')).clusters[0];
	const { hostname, port } = new URL(cluster.server);
	account = join(directory, 'pod/var/run/secrets/kubernetes.io/serviceaccount');
	mkdirSync(account, { recursive: true });
	writeFileSync(join(account, 'ca.crt'), Buffer.from(cluster['certificate-authority-data'], 'base64'));
	writeFileSync(join(account, 'token'), (await owner('create', 'token', VIEWER)).trim());
	writeFileSync(join(account, 'namespace'), 'default');
	environment = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port };
}

const CLIENTS: readonly { name: string; client: Client; missing?: string | undefined }[] = [
	{ name: 'kubectl', client: kubectl },
	{ name: 'client-node', client: clientNode },
	{ name: 'python', client: python, missing: reasonAgainst(buildPython) },
	{ name: 'client-go', client: go, missing: reasonAgainst(buildGo) },
];
const USABLE = CLIENTS.filter(({ missing }) => missing === undefined);

const WORKS: readonly { what: string; field: keyof KindFacts; expected: unknown }[] = [
	{ what: 'creates', field: 'created', expected: 'one' },
	{ what: 'watches', field: 'watched', expected: expect.stringMatching(/^ADDED own-/) },
	{ what: 'lists', field: 'listed', expected: true },
	{ what: 'updates', field: 'updated', expected: 'two' },
	{ what: 'gets a conflict for a stale update of', field: 'conflict', expected: 409 },
	{ what: 'patches', field: 'patched', expected: 'three' },
	{ what: 'deletes', field: 'deleted', expected: 404 },
];

const GRANTED: readonly { what: string; field: keyof Rights; expected: number }[] = [
	{ what: 'lists pods', field: 'listPods', expected: 200 },
	{ what: 'may not create a pod', field: 'createPod', expected: 403 },
	{ what: 'may not list secrets', field: 'listSecrets', expected: 403 },
];

test.skip.each(CLIENTS.filter(({ missing }) => missing))('$name is left out: $missing', () => {});

describe.each(USABLE)('$name by the kubeconfig', ({ name, client }) => {
	let facts: Facts;
	beforeAll(async () => {
		facts = await client.facts(kubeconfig, `own-${name}`);
	}, BUILD_MS);

	test('reads the version', () => {
		expect(facts.version).toMatch(/^v1\.\d+\.\d+/);
	});
	test.each(WORKS)('$what a ConfigMap', ({ field, expected }) => {
		expect(facts.ConfigMap[field]).toEqual(expected);
	});
	test.each(WORKS)('$what a Service', ({ field, expected }) => {
		expect(facts.Service[field]).toEqual(expected);
	});
});

describe.each(USABLE.filter(({ client }) => client.rights))(
	"$name by a service account's token",
	({ client }) => {
		let rights: Rights;
		beforeAll(async () => {
			rights = await client.rights!(account, environment);
		}, BUILD_MS);

		test.each(GRANTED)('$what', ({ field, expected }) => {
			expect(rights[field]).toBe(expected);
		});
	},
);
