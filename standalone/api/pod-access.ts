/** A log request from the API server to the node of a pod, like those to a kubelet. */
import type { Duplex, Readable, Writable } from 'node:stream';
import type { Pod } from '../port.ts';

export interface LogRequest {
	/** Undefined for a pod with a single container. */
	readonly container: string | undefined;
	/** Selects the run before the last restart. */
	readonly previous: boolean;
	readonly follow: boolean;
	readonly timestamps: boolean;
	/** Number of last lines; undefined for all. */
	readonly tailLines: number | undefined;
	/** Oldest time, in milliseconds since 1970. */
	readonly since: number | undefined;
	readonly limitBytes: number | undefined;
}

export interface ProcessRequest {
	readonly container: string | undefined;
	readonly stdin: boolean;
	readonly tty: boolean;
}

export interface Ended {
	readonly exitCode: number;
	/** Number of the signal that ended the process. */
	readonly signal?: number;
}

/** A process in a pod, with the streams that the client requested. */
export interface RemoteProcess {
	/** Undefined if the client did not request stdin. */
	readonly stdin: Writable | undefined;
	/** With a terminal, this is its whole output. */
	readonly stdout: Readable;
	readonly stderr: Readable | undefined;
	/** Resolves when the process ends. The streams may still hold output. */
	readonly ended: Promise<Ended>;
	/** Settles when the output was read to its end. */
	readonly drained: Promise<void>;
	resize(columns: number, rows: number): void;
	/** Called when the client disconnects. */
	hangUp(): void;
}

/**
 * Access to logs, processes and ports of pods. If the pod lacks the requested part, each method
 * throws an ApiError before it acts, with the message of a kubelet or of the API server.
 */
export interface PodAccess {
	log(pod: Pod, request: LogRequest, signal: AbortSignal): AsyncIterable<string>;
	/** @returns a function that starts the process. */
	exec(pod: Pod, command: readonly string[], request: ProcessRequest): () => RemoteProcess;
	/** @returns a function that attaches to the container's process. */
	attach(pod: Pod, request: ProcessRequest): () => RemoteProcess;
	/** Opens a connection to a port of the pod, from inside the pod. Emits `error` if it fails. */
	connect(pod: Pod, port: number): Duplex;
}
