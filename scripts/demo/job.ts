/** The jobs that the demo gives prober.ts, and their results. */
export interface Target {
	readonly id: string;
	readonly protocol: 'TCP' | 'UDP';
	readonly address: string;
	readonly port: number;
}

export interface ProbeJob {
	readonly kind: 'probe';
	readonly targets: readonly Target[];
	/** Requests to each target. */
	readonly requests: number;
	readonly timeoutMs: number;
}

export interface FollowJob {
	readonly kind: 'follow';
	readonly target: Target;
	readonly durationMs: number;
	readonly timeoutMs: number;
}

export type Job = ProbeJob | FollowJob;

export interface ProbeResult {
	readonly id: string;
	readonly answered: number;
	readonly failed: number;
	/** Count of each answer: names of pods where netexec answers. */
	readonly backends: Readonly<Record<string, number>>;
	readonly medianMs?: number;
	/** The reason of the first failure. */
	readonly error?: string;
}

export interface FollowLine {
	/** Start of the request, ms since the epoch. */
	readonly at: number;
	readonly backend?: string;
	readonly error?: string;
}
