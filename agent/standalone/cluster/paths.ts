/** Where a standalone cluster keeps what belongs to it. */
import { join, resolve } from 'node:path';

export interface Paths {
	readonly directory: string;
	readonly state: string;
	/** For the user's kubectl. */
	readonly kubeconfig: string;
	/** For each agent, by the name of its node: the API server as the node's namespace reaches it. */
	readonly nodes: string;
	/** Keys of the cluster. */
	readonly pki: string;
	readonly logs: string;
	readonly controlPlaneLog: string;
	readonly podLogs: string;
	/** Files that pods see in place of the machine's. */
	readonly pods: string;
	readonly bpfCache: string;
	/** Objects of the API, with the files that SQLite keeps beside them while it is open. */
	readonly database: string;
	/** Unix socket that answers questions about the cluster itself. */
	readonly controlSocket: string;
	/** Of the process that answers for pods without a program. */
	readonly podServerSocket: string;
}

/** @param directory the state directory, usually .maglane. */
export function pathsOf(directory: string): Paths {
	const root = resolve(directory);
	const logs = join(root, 'logs');
	return {
		directory: root,
		state: join(root, 'state.json'),
		kubeconfig: join(root, 'kubeconfig'),
		nodes: join(root, 'nodes'),
		pki: join(root, 'pki'),
		logs,
		controlPlaneLog: join(logs, 'control-plane.log'),
		podLogs: join(logs, 'pods'),
		pods: join(root, 'pods'),
		bpfCache: join(root, 'bpf-cache'),
		database: join(root, 'objects.db'),
		controlSocket: join(root, 'control.sock'),
		podServerSocket: join(root, 'pods.sock'),
	};
}

export const nodeKubeconfig = ({ nodes }: Paths, node: string): string => join(nodes, `${node}.kubeconfig`);

/** All files of the database. */
export const databaseFiles = ({ database }: Paths): string[] =>
	['', '-wal', '-shm', '-journal'].map((suffix) => `${database}${suffix}`);
