/** What the demo asks of prober.ts, and what comes back. */
export interface Target {
	readonly id: string;
	readonly protocol: 'TCP' | 'UDP';
	readonly address: string;
	readonly port: number;
}

export interface ProbeJob {
	readonly kind: 'probe';
	readonly targets: readonly Target[];
	/** Of each target. */
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
	/** How often each text was the answer: names of pods, where netexec answers. */
	readonly backends: Readonly<Record<string, number>>;
	readonly medianMs?: number;
	/** The first reason of a failure. */
	readonly error?: string;
}

export interface FollowLine {
	/** When the request began, ms since the epoch. */
	readonly at: number;
	readonly backend?: string;
	readonly error?: string;
}
