/** What the API server asks the node of a pod, as it would ask a kubelet. */
import type { Duplex, Readable, Writable } from 'node:stream';
import type { KubeObject } from '../port.ts';

export interface LogRequest {
	/** Undefined: the pod's only one. */
	readonly container: string | undefined;
	/** Of the run before the last restart. */
	readonly previous: boolean;
	readonly follow: boolean;
	readonly timestamps: boolean;
	/** The last lines; undefined: all. */
	readonly tailLines: number | undefined;
	/** Milliseconds since 1970; nothing older. */
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
	/** Number of the signal that ended it. */
	readonly signal?: number;
}

/** A process in a pod, and its streams as a client is to have them. */
export interface RemoteProcess {
	/** Undefined when the process was not to have any. */
	readonly stdin: Writable | undefined;
	/** With a terminal, all that it shows. */
	readonly stdout: Readable;
	readonly stderr: Readable | undefined;
	/** How it ended; its streams may hold more. */
	readonly ended: Promise<Ended>;
	/** Settled when its output was read to the end. */
	readonly drained: Promise<void>;
	resize(columns: number, rows: number): void;
	/** The client is gone. */
	hangUp(): void;
}

/** Each throws ApiError for what the pod does not have, with a kubelet's or the API server's words, before it acts. */
export interface PodAccess {
	log(pod: KubeObject, request: LogRequest, signal: AbortSignal): AsyncIterable<string>;
	/** @returns what starts it. */
	exec(pod: KubeObject, command: readonly string[], request: ProcessRequest): () => RemoteProcess;
	/** @returns what joins the container's own process. */
	attach(pod: KubeObject, request: ProcessRequest): () => RemoteProcess;
	/** A connection to a port of the pod, from inside it; `error` events tell of what fails. */
	connect(pod: KubeObject, port: number): Duplex;
}
