/** Files and directories of a standalone cluster. */
import { join, resolve } from 'node:path';

export interface Paths {
	readonly directory: string;
	readonly state: string;
	/** Kubeconfig for the user's kubectl. */
	readonly kubeconfig: string;
	/**
	 * Directory of the agents' kubeconfigs, one for each node. They contain the server's address in
	 * the node's namespace.
	 */
	readonly nodes: string;
	/** Keys of the cluster. */
	readonly pki: string;
	readonly logs: string;
	readonly controlPlaneLog: string;
	readonly podLogs: string;
	/** Files that pods see instead of the machine's. */
	readonly pods: string;
	readonly bpfCache: string;
	/** Objects of the API. SQLite keeps more files beside it while it is open. */
	readonly database: string;
	/** Unix socket of the control plane, for the status. */
	readonly controlSocket: string;
	/** Unix socket of the process that serves pods without a program. */
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
