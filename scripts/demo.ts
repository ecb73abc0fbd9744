/**
 * `make demo`: starts a cluster on this machine, deploys an application, sends requests to its
 * Services from everywhere, and removes all. Usage: demo.ts [file.yaml]. Exits with 0 when every
 * expected answer came.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pc from 'picocolors';
import { ApiClient } from '../standalone/cluster/api-client.ts';
import { describeDown, down } from '../standalone/cluster/down.ts';
import { BPFFS } from '../standalone/cluster/mounts.ts';
import {
	type ClusterOptions,
	DEFAULT_DIRECTORY,
	DEFAULT_PREFIX,
	DEFAULT_ZONES,
	defaultLbPool,
} from '../standalone/cluster/options.ts';
import { pathsOf } from '../standalone/cluster/paths.ts';
import { missingRequirements } from '../standalone/cluster/requirements.ts';
import { isAlive, readState } from '../standalone/cluster/state.ts';
import { ownerOf } from '../standalone/cluster/sweep.ts';
import { up } from '../standalone/cluster/up.ts';
import type { Deployment, Pod } from '../standalone/port.ts';
import { type Application, applyFile, selects, waitForApplication } from './demo/application.ts';
import { startMapImage } from './demo/image.ts';
import { showMaps } from './demo/maps.ts';
import { showScaling } from './demo/scaling.ts';
import { expectations, serviceLabel } from './demo/targets.ts';
import { showTraffic } from './demo/traffic.ts';

const EXAMPLE = fileURLToPath(new URL('../deploy/examples/demo.yaml', import.meta.url));
const FAMILIES = ['v4', 'v6'] as const;
const READY_TIMEOUT_MS = 30_000;
/** A pod that sends requests; it serves nothing. */
const ASKING_POD = 'asker';

/** Leaves a running cluster of the user alone: the demo then uses names of its own. */
function chooseOptions(network: boolean): ClusterOptions {
	const state = readState(pathsOf(DEFAULT_DIRECTORY).state);
	const busy = (state !== undefined && isAlive(state)) || (network && ownerOf(DEFAULT_PREFIX) !== undefined);
	return {
		prefix: busy ? 'mldemo' : DEFAULT_PREFIX,
		directory: busy ? `${DEFAULT_DIRECTORY}/demo` : DEFAULT_DIRECTORY,
		nodes: 2,
		zones: DEFAULT_ZONES,
		families: FAMILIES,
		port: 0,
		network,
		agents: network,
		lbPool: defaultLbPool(FAMILIES),
	};
}

/** @returns problems as text; empty when all is as expected */
async function demo(file: string, options: ClusterOptions, signal: AbortSignal): Promise<string[]> {
	const paths = pathsOf(options.directory);
	await up(options, step, signal);
	const api = new ApiClient(paths.kubeconfig);
	const image = options.network ? undefined : await startMapImage(paths.kubeconfig, 'node1');
	await image?.showChanges();
	signal.throwIfAborted();

	const start = performance.now();
	const unknown = await applyFile(api, file);
	if (unknown.length > 0)
		console.log(pc.yellow(`Left out, for the API does not serve them: ${unknown.join(', ')}`));
	await api.post('/api/v1/namespaces/default/pods', askingPod());
	const application = await waitForApplication(api, READY_TIMEOUT_MS, signal);
	step(`Application ready ${Math.round(performance.now() - start)} ms after it was applied`);
	showServices(application);
	const scalable = await findScalable(api, application);
	try {
		if (image) return await showImage(api, image, scalable?.deployment, signal);
		return await showAll(api, options, application, scalable, signal);
	} finally {
		await image?.stop();
	}
}

async function showAll(
	api: ApiClient,
	options: ClusterOptions,
	application: Application,
	scalable: Scalable | undefined,
	signal: AbortSignal,
): Promise<string[]> {
	const state = readState(pathsOf(options.directory).state)!;
	const where = { state, directory: options.directory };
	const expected = expectations(application.services, application.nodes);
	const places = { pod: ASKING_POD, host: 'node1', outside: 'client' };
	const summary = await showTraffic(expected, places, application.pods, where, signal);
	const problems = summary.missing.map((id) => `no full answer: ${id}`);
	if (summary.rows === 0) problems.push('no Service to ask');
	const target = expected.find(
		(one) => one.from === 'outside' && one.protocol === 'TCP' && one.service === `${scalable?.service} TCP`,
	);
	if (scalable && target) {
		const scaled = await showScaling(
			api,
			scalable.deployment,
			target,
			{ ...where, target: 'client' },
			signal,
		);
		problems.push(...scaled.problems);
	}
	showMaps(join(BPFFS, options.prefix, 'node1'));
	console.log(`${summary.rows - summary.missing.length} of ${summary.rows} addresses answered every request`);
	return problems;
}

/** Without a network: shows the map image as the application changes. */
async function showImage(
	api: ApiClient,
	image: Awaited<ReturnType<typeof startMapImage>>,
	deployment: Deployment | undefined,
	signal: AbortSignal,
): Promise<string[]> {
	console.log(pc.bold('The maps of node1 would contain'));
	const first = await image.showChanges();
	signal.throwIfAborted();
	if (!deployment) return first > 0 ? [] : ['the maps would be empty'];
	const { name, namespace } = deployment.metadata;
	const replicas = (deployment.spec?.replicas ?? 1) + 1;
	console.log(pc.bold(`Deployment ${name} scaled to ${replicas}`));
	await api.patch(`/apis/apps/v1/namespaces/${namespace}/deployments/${name}`, { spec: { replicas } });
	const second = await image.showChanges();
	return first > 0 && second > 0 ? [] : ['the maps would not have followed'];
}

/** A Deployment behind a NodePort Service, so that its change is visible in external traffic. */
async function findScalable(api: ApiClient, { services }: Application): Promise<Scalable | undefined> {
	const open = services.filter(({ spec }) =>
		spec?.ports?.some((port) => port.nodePort && port.protocol === 'TCP'),
	);
	for (const deployment of await api.list<Deployment>('/apis/apps/v1/deployments')) {
		const { namespace } = deployment.metadata;
		const labels = deployment.spec?.template?.metadata?.labels ?? {};
		const pods = { metadata: { name: '', namespace: namespace ?? 'default', labels } };
		const service = open.find((one) => selects(one, pods));
		if (service) return { deployment, service: serviceLabel(service) };
	}
	return undefined;
}

interface Scalable {
	readonly deployment: Deployment;
	/** As in expectations(). */
	readonly service: string;
}

function showServices({ services }: Application): void {
	for (const service of services) {
		const { type, clusterIPs = [], ports = [] } = service.spec ?? {};
		const texts = ports.map(
			({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol}`,
		);
		console.log(
			`  ${serviceLabel(service).padEnd(24)} ${type!.padEnd(12)} ${[...clusterIPs, ...texts].join(' ')}`,
		);
	}
}

function askingPod(): Pod {
	return {
		apiVersion: 'v1',
		kind: 'Pod',
		metadata: { name: ASKING_POD },
		spec: { containers: [{ name: 'pause', image: 'agnhost', args: ['pause'] }] },
	};
}

function step(text: string): void {
	console.log(`${pc.green('✓')} ${text}`);
}

async function main(): Promise<number> {
	const missing = missingRequirements();
	for (const one of missing) console.log(`${pc.yellow('missing:')} ${one}`);
	if (missing.length > 0)
		console.log('No traffic without these; showing the control plane and the map image alone.');
	const options = chooseOptions(missing.length === 0);
	const interrupted = new AbortController();
	for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
		process.on(signal, () => interrupted.abort(new Error(`Interrupted by ${signal}`)));
	// A reader that closes the pipe, such as head(1), must not keep the cluster up
	process.stdout.on('error', (error) => interrupted.abort(error));
	const start = performance.now();
	let problems: string[];
	try {
		problems = await demo(process.argv[2] ?? EXAMPLE, options, interrupted.signal);
	} catch (error) {
		problems = [messages(interrupted.signal.aborted ? interrupted.signal.reason : error)];
	} finally {
		for (const done of describeDown(await down(options))) step(done);
	}
	for (const problem of problems) console.log(`${pc.red('✗')} ${problem}`);
	console.log(
		`${problems.length === 0 ? 'Done' : 'Failed'} in ${((performance.now() - start) / 1000).toFixed(1)} s`,
	);
	return problems.length === 0 ? 0 : 1;
}

function messages(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	return error.cause === undefined ? error.message : `${error.message}\n  because: ${messages(error.cause)}`;
}

process.exit(await main());
