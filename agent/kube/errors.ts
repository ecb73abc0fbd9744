import { redactTokens } from '../base/redact.ts';

/** The API server answered with a status other than 200. */
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
	 * The requested resourceVersion is too old (410) or ahead of the server, for example after etcd
	 * was restored from a backup ("Too large resource version"). Only a list without a version helps.
	 */
	get versionUnusable(): boolean {
		return this.code === 410 || this.message.includes('Too large resource version');
	}
}

/** The answer violates the API: not JSON, no items, no metadata. */
export class MalformedAnswerError extends Error {
	override readonly name = 'MalformedAnswerError';
}

/**
 * No byte came in the time that a bookmark needs: the connection is dead, though TCP has not
 * noticed it.
 */
export class StalledError extends Error {
	override readonly name = 'StalledError';
}

/**
 * Makes an ApiStatusError from a Status object, which may be anything that a server or a proxy
 * sends.
 */
export function statusError(what: string, code: number, status: unknown, retryAfter = 0): ApiStatusError {
	const fields = (typeof status === 'object' && status !== null ? status : {}) as Record<string, unknown>;
	const reason = typeof fields['reason'] === 'string' ? fields['reason'] : '';
	const message =
		typeof fields['message'] === 'string' ? fields['message'] : String(status ?? '').slice(0, 200);
	return new ApiStatusError(`${what}: ${code} ${reason}: ${message}`, code, reason, retryAfter);
}

/**
 * Joins the messages of an error and its causes: "GET https://... failed: connect ECONNREFUSED
 * ...". Without tokens.
 */
export function describe(error: unknown): string {
	const parts: string[] = [];
	for (let e: unknown = error; e instanceof Error && parts.length < 4; e = e.cause) {
		const code = (e as NodeJS.ErrnoException).code;
		const named = code === undefined || e.message.includes(code) ? e.message : `${e.message} (${code})`;
		parts.push(named || e.name);
	}
	return redactTokens(parts.length > 0 ? parts.join(': ') : String(error));
}
