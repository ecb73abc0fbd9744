/** The API server answered with something else than 200. */
export class ApiStatusError extends Error {
	override readonly name = 'ApiStatusError';
	/** HTTP status, or the code of a watch's ERROR event. */
	readonly code: number;
	/** `reason` of the Status object: Expired, Gone, Timeout, Forbidden ... */
	readonly reason: string;
	/** Seconds of Retry-After, 0 when absent. */
	readonly retryAfter: number;

	constructor(message: string, code: number, reason: string, retryAfter = 0) {
		super(message);
		this.code = code;
		this.reason = reason;
		this.retryAfter = retryAfter;
	}

	/**
	 * The resourceVersion asked for is too old (410) or ahead of the server, as after etcd was restored from a
	 * backup ("Too large resource version"): only a list without one can go on.
	 */
	get versionUnusable(): boolean {
		return this.code === 410 || this.message.includes('Too large resource version');
	}
}

/** The answer is not what the API promises: not JSON, no items, no metadata. */
export class MalformedAnswerError extends Error {
	override readonly name = 'MalformedAnswerError';
}

/** No byte came for as long as a bookmark should have taken: the connection is dead though TCP has not noticed. */
export class StalledError extends Error {
	override readonly name = 'StalledError';
}

/** Makes an ApiStatusError of a Status object, which may be anything that the server or a proxy sent. */
export function statusError(what: string, code: number, status: unknown, retryAfter = 0): ApiStatusError {
	const fields = (typeof status === 'object' && status !== null ? status : {}) as Record<string, unknown>;
	const reason = typeof fields['reason'] === 'string' ? fields['reason'] : '';
	const message =
		typeof fields['message'] === 'string' ? fields['message'] : String(status ?? '').slice(0, 200);
	return new ApiStatusError(`${what}: ${code} ${reason}: ${message}`, code, reason, retryAfter);
}

/** The message with those of its causes: "GET https://... failed: connect ECONNREFUSED ...". */
export function describe(error: unknown): string {
	const parts: string[] = [];
	for (let e: unknown = error; e instanceof Error && parts.length < 4; e = e.cause) {
		const code = (e as NodeJS.ErrnoException).code;
		const named = code === undefined || e.message.includes(code) ? e.message : `${e.message} (${code})`;
		parts.push(named || e.name);
	}
	return parts.length > 0 ? parts.join(': ') : String(error);
}
