/**
 * The control plane in one process: API server, controllers and the node side of every node.
 * daemon.ts starts it. The steps run in the order of their dependencies, and each is reported.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { type Api, createApi } from '../api/index.ts';
import { type ControllersOptions, startControllers } from '../controllers/start.ts';
import { CLUSTER_DNS, CLUSTER_ZONE, nodeAddresses, SERVICE_CIDRS } from '../net/addresses.ts';
import { clientNamespace, nodeName, nodeNamespace } from '../net/names.ts';
import { createTopology } from '../net/topology.ts';
import { AgentProcess } from '../node/agent-process.ts';
import { NodeManager } from '../node/node-manager.ts';
import { nodeObject } from '../node/node-object.ts';
import { createPodAccess } from '../node/pod-access.ts';
import { PodServer } from '../podserver/client.ts';
import { agentArguments } from './agent-arguments.ts';
import { ensureAgentRoles } from './agent-roles.ts';
import { Cgroups } from './cgroups.ts';
import { startClusterDns } from './cluster-dns.ts';
import { type ClusterCredentials, openCredentials } from './credentials.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { loadBalancing } from './load-balancing.ts';
import { cgroup2Mount } from './mounts.ts';
import { type ClusterOptions, type DaemonOptions, zoneOf } from './options.ts';
import { nodeKubeconfig, type Paths } from './paths.ts';
import { PRIVATE_DIRECTORY } from './private-files.ts';
import { serviceAccountSource } from './service-account-source.ts';
import { removeUnknownNamespaces } from './sweep.ts';

/** Port of the API server in every node's namespace. */
export const NODE_API_PORT = 6443;
const MAIN = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));

export interface ControlPlane {
	readonly api: Api;
	/** Port on the machine's loopback. */
	readonly port: number;
	readonly agents: ReadonlyMap<string, AgentProcess>;
	readonly switcher: NetnsSwitcher | undefined;
	stop(): Promise<void>;
}

export async function startControlPlane(
	options: DaemonOptions,
	paths: Paths,
	log: Logger,
	tell: (step: string) => void,
): Promise<ControlPlane> {
	const stopping = new AbortController();
	const names = Array.from({ length: options.nodes }, (_, i) => nodeName(i + 1));
	const switcher = options.network ? new NetnsSwitcher() : undefined;
	const cgroups = options.network ? enterCgroups(options.prefix, names) : undefined;

	const credentials = await openCredentials(options, paths);
	const api = openApi(options, paths, credentials, log);
	ensureAgentRoles(api.objects);
	const port = await listen(api, options);
	await writeKubeconfigs(names, paths, credentials, port);
	tell(`API server on https://127.0.0.1:${port}`);

	if (switcher) {
		// Pod programs with pipes to the earlier control plane cannot continue; agents take over from
		// earlier agents
		if (options.adopt) await cgroups?.killLeft(names);
		else await createTopology(switcher, options);
		for (const name of names) serveInNode(switcher, api, nodeNamespace(options.prefix, name), log);
		tell(`Nodes ${names.join(', ')} and ${clientNamespace(options.prefix)} as network namespaces`);
	}
	const addresses = names.flatMap((_, i) => options.families.map((family) => nodeAddresses(i + 1)[family]));
	const apiAddress = { addresses, port: NODE_API_PORT };
	const controllers: ControllersOptions = {
		log,
		...(switcher ? { apiAddress } : {}),
		...loadBalancing(options, switcher, log, stopping.signal),
	};
	startControllers(api.objects, controllers, stopping.signal);

	const nodes = startNodes(options, paths, { api, switcher, cgroups, log, credentials });
	if (options.adopt && switcher) forgetPods(options.prefix, names, switcher, nodes.manager);
	registerNodes(options, api);
	const dns =
		switcher && options.agents
			? await startClusterDns({ ...options, objects: api.objects, switcher, log })
			: undefined;

	const agents = cgroups && options.agents ? startAgents(options, paths, cgroups, names, log) : new Map();
	return {
		api,
		port,
		agents,
		switcher,
		async stop() {
			stopping.abort();
			await Promise.all([...agents.values()].map((agent) => agent.stop()));
			await nodes.manager.stop();
			await dns?.close();
			nodes.server?.[Symbol.dispose]();
			await api.close();
		},
	};
}

/**
 * Writes the owner's kubeconfig, for any program on this machine, and one for the agent of each
 * node.
 */
async function writeKubeconfigs(
	nodes: readonly string[],
	paths: Paths,
	{ authority, admin, agent }: ClusterCredentials,
	port: number,
): Promise<void> {
	writeKubeconfig(paths.kubeconfig, { server: `https://127.0.0.1:${port}`, authority, identity: admin });
	mkdirSync(paths.nodes, { recursive: true, mode: PRIVATE_DIRECTORY });
	const server = `https://127.0.0.1:${NODE_API_PORT}`;
	for (const node of nodes)
		writeKubeconfig(nodeKubeconfig(paths, node), { server, authority, identity: await agent(node) });
}

function openApi(
	{ families }: ClusterOptions,
	{ database }: Paths,
	credentials: ClusterCredentials,
	log: Logger,
): Api {
	return createApi({
		credentials,
		families: families.map((family) => (family === 'v4' ? 'IPv4' : 'IPv6')),
		serviceCidrs: families.map((family) => SERVICE_CIDRS[family]),
		database,
		onDatabaseError: (err) => log.error({ event: 'database_failed', err }),
		onConflict: ({ metadata: { namespace, name } }, message) =>
			log.warn({ event: 'service_conflict', namespace, name, message }),
		// clients that send the header can test how an agent handles objects that an API server must
		// reject
		unsafe: true,
	});
}

interface NodeSide {
	readonly api: Api;
	readonly switcher: NetnsSwitcher | undefined;
	readonly cgroups: Cgroups | undefined;
	readonly log: Logger;
	readonly credentials: ClusterCredentials;
}

/** Starts the node manager of all pods, and the server for pods without a program. */
function startNodes(
	options: ClusterOptions,
	paths: Paths,
	{ api, switcher, cgroups, log, credentials }: NodeSide,
): { manager: NodeManager; server: PodServer | undefined } {
	const onRestart = (how: string) => log.warn({ event: 'pod_server_ended', how });
	const server = switcher && new PodServer({ socketPath: paths.podServerSocket, onRestart });
	const manager = new NodeManager({
		...options,
		objects: api.objects,
		switcher,
		server,
		cgroupOf: (node) => cgroups?.pods(node),
		dns: { zone: CLUSTER_ZONE, nameservers: [CLUSTER_DNS[options.families[0] ?? 'v4']] },
		podDirectory: paths.pods,
		logDirectory: paths.podLogs,
		serviceAccount: serviceAccountSource(api, credentials.authority),
		log,
	});
	api.attachNodes(
		createPodAccess({ runner: (uid) => manager.runner(uid), logDirectory: paths.podLogs, switcher }),
	);
	manager.start();
	return { manager, server };
}

/**
 * Listens on the earlier control plane's port if it is free, so that kubeconfigs stay valid over a
 * restart.
 */
function listen(api: Api, { port, lastPort }: DaemonOptions): Promise<number> {
	const onPort = async (wanted: number) => (await api.listen({ port: wanted })).port;
	return port === 0 && lastPort > 0 ? onPort(lastPort).catch(() => onPort(0)) : onPort(port);
}

/** Removes the namespaces of pods that no longer exist in the API. */
function forgetPods(
	prefix: string,
	nodes: readonly string[],
	switcher: NetnsSwitcher,
	manager: NodeManager,
): void {
	const own = [clientNamespace(prefix), ...nodes.map((name) => nodeNamespace(prefix, name))];
	removeUnknownNamespaces(switcher, prefix, new Set([...own, ...manager.namespaces]));
}

function registerNodes({ nodes, zones, families }: ClusterOptions, { objects }: Api): void {
	const now = `${new Date().toISOString().slice(0, 19)}Z`;
	for (let number = 1; number <= nodes; number++) {
		const node = nodeObject(number, zoneOf(zones, number), families, now);
		if (!objects.get('nodes', undefined, node.metadata.name)) objects.create('nodes', node);
	}
}

function enterCgroups(prefix: string, nodes: readonly string[]): Cgroups {
	const mount = cgroup2Mount();
	if (mount === undefined) throw new Error('Cannot place nodes: cgroup v2 is not mounted');
	const cgroups = new Cgroups(mount, prefix);
	cgroups.enter(nodes);
	return cgroups;
}

/**
 * Serves the API in a node's namespace: to the agent on the loopback, to pods on the node's
 * addresses.
 */
function serveInNode(switcher: NetnsSwitcher, api: Api, netns: string, log: Logger): void {
	const server = api.createServer();
	server.on('error', (err) => log.error({ event: 'node_api_failed', netns, err }));
	server.listen({ fd: switcher.listenTcp(netns, NODE_API_PORT) });
}

function startAgents(
	options: ClusterOptions,
	paths: Paths,
	cgroups: Cgroups,
	names: readonly string[],
	log: Logger,
): Map<string, AgentProcess> {
	const agents = new Map<string, AgentProcess>();
	for (const node of names) {
		const agent = new AgentProcess({
			node,
			argv: [process.execPath, MAIN, ...agentArguments(options.prefix, node, paths, cgroups)],
			place: { netns: nodeNamespace(options.prefix, node), cgroup: cgroups.agent(node) },
			logFile: join(paths.logs, `agent-${node}.log`),
			log,
		});
		agent.start();
		agents.set(node, agent);
	}
	return agents;
}
