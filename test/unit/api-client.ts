import { request } from 'node:https';
import type { Fields } from '../fields.ts';
import { ownerTls } from './api-credentials.ts';

export interface Answer {
	code: number;
	headers: Record<string, string | string[] | undefined>;
	body: Fields;
}

export interface Call {
	method?: string;
	body?: unknown;
	headers?: Record<string, string>;
}

/**
 * Sends one request of the owner to a server on loopback. The default content type is JSON.
 * @returns the response, parsed if it is JSON
 */
export function call(
	port: number,
	path: string,
	{ method = 'GET', body, headers = {} }: Call = {},
): Promise<Answer> {
	const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
	// node frames the body of a DELETE only with a content-length
	const framed = {
		...(text === undefined ? {} : { 'content-type': 'application/json' }),
		...headers,
		...(text === undefined ? {} : { 'content-length': String(Buffer.byteLength(text)) }),
	};
	return new Promise((resolve, reject) => {
		const sent = request(
			{ host: '127.0.0.1', port, path, method, headers: framed, agent: false, ...ownerTls },
			(response) => {
				const chunks: Buffer[] = [];
				response.on('data', (chunk: Buffer) => chunks.push(chunk));
				response.on('end', () => {
					const all = Buffer.concat(chunks).toString('utf8');
					const json = String(response.headers['content-type']).startsWith('application/json');
					resolve({
						code: response.statusCode ?? 0,
						headers: response.headers,
						body: json ? JSON.parse(all) : all,
					});
				});
			},
		);
		sent.on('error', reject);
		sent.end(text);
	});
}

export interface WatchStream {
	/** Waits for the next event. @throws Error after two seconds */
	next(): Promise<Fields>;
	close(): void;
}

/**
 * Opens a watch that returns its events one by one.
 * @param tls the client certificate and the trusted authority
 */
export function openWatch(
	port: number,
	path: string,
	headers: Record<string, string> = {},
	tls: object = ownerTls,
): WatchStream {
	const ready: Fields[] = [];
	const waiting: ((event: Fields) => void)[] = [];
	let rest = '';
	const sent = request({ host: '127.0.0.1', port, path, headers, agent: false, ...tls }, (response) => {
		response.on('error', () => undefined);
		response.on('data', (chunk: Buffer) => {
			const lines = (rest + chunk.toString('utf8')).split('\n');
			rest = lines.pop()!;
			for (const event of lines.map((line) => JSON.parse(line))) {
				const taker = waiting.shift();
				if (taker) taker(event);
				else ready.push(event);
			}
		});
	});
	sent.on('error', () => undefined);
	sent.end();
	const next = (): Promise<Fields> => {
		if (ready.length > 0) return Promise.resolve(ready.shift());
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => reject(new Error(`No event from ${path} within 2 s`)), 2000);
			waiting.push((event) => {
				clearTimeout(timer);
				resolve(event);
			});
		});
	};
	return { next, close: () => sent.destroy() };
}
