import http from 'node:http';
import https from 'node:https';
import type { ApiTarget } from './kubeconfig.ts';

export interface ApiAnswer {
	readonly status: number;
	/** Seconds of the Retry-After header, 0 when absent. */
	readonly retryAfter: number;
	/** Iterating it to the end, or destroying it, frees the connection. */
	readonly body: http.IncomingMessage;
}

/** One finished request, for the rest_client metrics. */
export interface RequestSample {
	readonly verb: string;
	readonly host: string;
	/** HTTP status, or "<error>" as in client-go. */
	readonly code: string;
	/** Seconds until the header of the answer. */
	readonly seconds: number;
}

export interface Transport {
	/**
	 * Resolves when the header has arrived. Rejects when the connection fails or the signal aborts.
	 */
	get(path: string, query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<ApiAnswer>;
	/** Creates an object. Resolves and rejects like get(). */
	post(path: string, object: object, signal: AbortSignal): Promise<ApiAnswer>;
	close(): void;
}

const UNAUTHORIZED = 401;
/** Without keepalive, a vanished peer (a node that lost power) would go unnoticed for two hours. */
const TCP_KEEPALIVE_MS = 30_000;

/**
 * Uses only node:http and node:https: an idle watch costs one socket, without buffers of a client
 * library.
 *
 * @param sample called once for each request
 */
export function openTransport(target: ApiTarget, sample: (s: RequestSample) => void = () => {}): Transport {
	const secure = target.server.protocol === 'https:';
	const agent = secure ? new https.Agent({ keepAlive: true }) : new http.Agent({ keepAlive: true });
	const base = target.server.href.replace(/\/+$/, '');
	const headers = { accept: 'application/json', 'user-agent': 'maglane' };

	async function ask(
		method: 'GET' | 'POST',
		path: string,
		signal: AbortSignal,
		{ query = {}, body }: { query?: Readonly<Record<string, string>>; body?: string },
	): Promise<ApiAnswer> {
		const started = performance.now();
		const report = (code: string): void =>
			sample({ verb: method, host: target.server.host, code, seconds: (performance.now() - started) / 1000 });
		try {
			const options = await target.options();
			const url = new URL(`${base}${path}`);
			url.search = new URLSearchParams(query).toString();
			const type = body === undefined ? {} : { 'content-type': 'application/json' };
			const all = { ...headers, ...type, ...options.headers };
			const answer = await send(url, { method, agent, ...options, headers: all, signal }, body);
			report(String(answer.status));
			if (answer.status === UNAUTHORIZED) target.refused?.();
			return answer;
		} catch (cause) {
			if (!signal.aborted) report('<error>');
			throw new Error(`${method} ${base}${path} failed`, { cause });
		}
	}

	return {
		get: (path, query, signal) => ask('GET', path, signal, { query }),
		post: (path, object, signal) => ask('POST', path, signal, { body: JSON.stringify(object) }),
		close: () => agent.destroy(),
	};
}

function send(url: URL, options: https.RequestOptions, body: string | undefined): Promise<ApiAnswer> {
	return new Promise((resolve, reject) => {
		const request = (url.protocol === 'https:' ? https : http).request(url, options);
		request.on('socket', (socket) => socket.setKeepAlive(true, TCP_KEEPALIVE_MS));
		request.on('error', reject);
		request.on('response', (answer) => {
			const retryAfter = Number(answer.headers['retry-after']);
			resolve({
				status: answer.statusCode ?? 0,
				retryAfter: Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : 0,
				body: answer,
			});
		});
		request.end(body);
	});
}
