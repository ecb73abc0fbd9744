import type { BpfMap, ServiceMaps } from '../bpf/port.ts';
import type { Config, Environment } from '../config.ts';
import type { Json } from '../model/read.ts';

/** 0 ok, 1 error, 2 wrong usage, 3 working but degraded. */
export const EXIT = { ok: 0, error: 1, usage: 2, degraded: 3 } as const;

/** The pinned maps of a node, opened for reading. */
export interface PinnedMaps extends ServiceMaps, Disposable {
	readonly connections: BpfMap;
	readonly counters: BpfMap;
	/** Names of the pinned programs and links. */
	readonly links: readonly string[];
}

export interface CleanupReport {
	/** Removed pins, links before maps. */
	readonly removed: readonly string[];
}

export interface VersionInfo {
	readonly version: string;
	readonly abi: number;
	readonly node: string;
	readonly kernel: string;
	readonly arch: string;
}

export interface Output {
	write(text: string): unknown;
	readonly isTTY?: boolean;
}

/** Environment of the commands. agent/main.ts supplies the real one, tests another. */
export interface CliContext {
	readonly env: Environment;
	/** Data. */
	readonly stdout: Output;
	/** Messages. */
	readonly stderr: Output;
	readonly version: VersionInfo;
	/** @throws Error with the directory, when it has no pinned maps */
	openPins(pinPath: string): Promise<PinnedMaps>;
	cleanup(pinPath: string): Promise<CleanupReport>;
	/** @returns false: bpffs was there. @throws Error with the directory and the remedy */
	mountBpffs(directory: string): Promise<boolean>;
	/** All Services of the cluster. @param kubeconfig undefined: the usual locations */
	listServices(kubeconfig: string | undefined): Promise<readonly Json[]>;
	/** Runs until it is stopped. @returns an exit code */
	runAgent(config: Config): Promise<number>;
}

/** Ends a command with a specific exit code. */
export class ExitError extends Error {
	override readonly name = 'ExitError';
	readonly code: number;

	constructor(message: string, code: number, options?: ErrorOptions) {
		super(message, options);
		this.code = code;
	}
}
