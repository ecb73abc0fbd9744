/** Resolves the target of `exec`: a node, the outside client or a pod. */
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { netnsExists } from '../../agent/bpf/netns.ts';
import { CLUSTER_ZONE } from '../net/addresses.ts';
import { clientNamespace, NETNS_ANNOTATION, nodeName, nodeNamespace } from '../net/names.ts';
import { podCgroups } from '../node/pod-cgroups.ts';
import { podView } from '../node/pod-place.ts';
import type { Place } from '../node/spawn.ts';
import type { Pod } from '../port.ts';
import { socketPath } from '../unix-path.ts';
import { ApiClient } from './api-client.ts';
import { Cgroups } from './cgroups.ts';
import { cgroup2Mount } from './mounts.ts';
import { pathsOf } from './paths.ts';
import type { ClusterState } from './state.ts';

/**
 * @param target `client`, `node<N>`, `<namespace>/<pod>`, or `<pod>` in the namespace default.
 * @throws Error naming the valid targets.
 */
export async function findTarget(target: string, state: ClusterState, directory: string): Promise<Place> {
	if (!state.network) throw new Error(`Cannot run in ${target}: the cluster runs without a network`);
	// The outside client does not belong to the cluster: socket programs do not balance its
	// connections
	if (target === 'client') return { netns: clientNamespace(state.prefix), cgroup: undefined };
	const mount = cgroup2Mount();
	const cgroups = mount === undefined ? undefined : new Cgroups(mount, state.prefix);
	const nodes = Array.from({ length: state.nodes }, (_, i) => nodeName(i + 1));
	if (nodes.includes(target))
		return { netns: nodeNamespace(state.prefix, target), cgroup: cgroups?.node(target) };
	const [namespace, name] = target.includes('/')
		? (target.split('/', 2) as [string, string])
		: ['default', target];
	const paths = pathsOf(directory);
	const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
	const pod = await new ApiClient(paths.kubeconfig).find<Pod>(path);
	const netns = pod?.metadata.annotations?.[NETNS_ANNOTATION];
	if (!pod || !netns || !netnsExists(netns))
		throw new Error(
			`Cannot run in ${target}: no pod ${namespace}/${name} with a network; or name ${nodes.join(', ')} or client`,
		);
	const view = podView(paths.pods, pod, CLUSTER_ZONE);
	const node = pod.spec?.nodeName ?? '';
	const own = cgroups && podCgroups(cgroups.pods(node), pod).users;
	return { netns, cgroup: own && existsSync(own) ? own : cgroups?.node(node), view };
}

/** Sends a GET over a unix socket. @returns undefined for 404. */
export function getJson<T>(socket: string, path: string): Promise<T | undefined> {
	const way = socketPath(socket);
	return new Promise<T | undefined>((resolve, reject) => {
		const call = request(
			{ socketPath: way.path, path, headers: { accept: 'application/json' } },
			(response) => {
				let body = '';
				response.setEncoding('utf8');
				response.on('data', (chunk: string) => (body += chunk));
				response.on('end', () => {
					if (response.statusCode === 404) resolve(undefined);
					else if (response.statusCode === 200) resolve(JSON.parse(body) as T);
					else reject(new Error(`Cannot get ${path}: status ${response.statusCode}`));
				});
			},
		);
		call.once('error', (cause) =>
			reject(new Error('Cannot reach the control plane: is the cluster up?', { cause })),
		);
		call.end();
	}).finally(() => way[Symbol.dispose]());
}
