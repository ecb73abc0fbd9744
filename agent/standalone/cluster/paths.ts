/** Where a standalone cluster keeps what belongs to it. */
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** sun_path is 108 bytes with its terminating zero (unix(7)). */
const SOCKET_PATH_LIMIT = 100;

export interface Paths {
	readonly directory: string;
	readonly state: string;
	/** For the user's kubectl. */
	readonly kubeconfig: string;
	/** For the agents: the API server as a node's namespace reaches it. */
	readonly nodeKubeconfig: string;
	readonly logs: string;
	readonly controlPlaneLog: string;
	readonly podLogs: string;
	/** Files that pods see in place of the machine's. */
	readonly pods: string;
	readonly bpfCache: string;
	/** Objects of the API, with the files that SQLite keeps beside them while it is open. */
	readonly database: string;
	/** Unix sockets: of the API, and of questions about the cluster itself. */
	readonly apiSocket: string;
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
		nodeKubeconfig: join(root, 'node.kubeconfig'),
		logs,
		controlPlaneLog: join(logs, 'control-plane.log'),
		podLogs: join(logs, 'pods'),
		pods: join(root, 'pods'),
		bpfCache: join(root, 'bpf-cache'),
		database: join(root, 'objects.db'),
		apiSocket: socketPath(root, 'api.sock'),
		controlSocket: socketPath(root, 'control.sock'),
		podServerSocket: socketPath(root, 'pods.sock'),
	};
}

/** All files of the database. */
export const databaseFiles = ({ database }: Paths): string[] =>
	['', '-wal', '-shm', '-journal'].map((suffix) => `${database}${suffix}`);

function socketPath(root: string, name: string): string {
	const path = join(root, name);
	if (Buffer.byteLength(path) <= SOCKET_PATH_LIMIT) return path;
	const hash = createHash('sha256').update(root).digest('hex').slice(0, 12);
	return join(tmpdir(), `maglane-${hash}-${name}`);
}
