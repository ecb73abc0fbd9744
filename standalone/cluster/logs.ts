/** Reads logs of a cluster: files for the control plane and the agents, the API server for pods. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from './api-client.ts';
import type { Paths } from './paths.ts';

export interface LogOptions {
	readonly follow: boolean;
	/** Number of last lines; undefined for all. */
	readonly tail: number | undefined;
	/** Container of a pod. */
	readonly container: string | undefined;
	readonly previous: boolean;
}

const POLL_MS = 200;

/**
 * @param target `control-plane`, `node<N>` for its agent, `<pod>` or `<namespace>/<pod>`.
 * @throws StatusError for an unknown pod.
 */
export function readLogs(
	target: string,
	paths: Paths,
	api: ApiClient,
	options: LogOptions,
	signal: AbortSignal,
): AsyncIterable<string | Buffer> {
	if (target === 'control-plane') return readFile(paths.controlPlaneLog, options, signal);
	const agent = join(paths.logs, `agent-${target}.log`);
	if (/^node\d+$/.test(target) && existsSync(agent)) return readFile(agent, options, signal);
	return podLog(target, api, options);
}

async function* podLog(target: string, api: ApiClient, options: LogOptions): AsyncGenerator<Buffer> {
	const [namespace, name] = target.includes('/') ? target.split('/', 2) : ['default', target];
	const query = new URLSearchParams({
		follow: String(options.follow),
		previous: String(options.previous),
		...(options.tail === undefined ? {} : { tailLines: String(options.tail) }),
		...(options.container ? { container: options.container } : {}),
	});
	const path = `/api/v1/namespaces/${encodeURIComponent(namespace!)}/pods/${encodeURIComponent(name!)}/log`;
	yield* await api.stream(`${path}?${query}`);
}

async function* readFile(file: string, { follow, tail }: LogOptions, signal: AbortSignal) {
	const fd = openSync(file, 'r');
	const buffer = Buffer.alloc(65_536);
	let offset = 0;
	const more = () => {
		const parts: Buffer[] = [];
		for (let read = -1; read !== 0; offset += read) {
			read = readSync(fd, buffer, 0, buffer.length, offset);
			parts.push(Buffer.from(buffer.subarray(0, read)));
		}
		return Buffer.concat(parts).toString();
	};
	try {
		const text = more();
		yield tail === undefined ? text : lastLines(text, tail);
		while (follow && !signal.aborted) {
			await sleep(POLL_MS, undefined, { signal }).catch(() => {}); // aborted: the loop condition checks it
			yield more();
		}
	} finally {
		closeSync(fd);
	}
}

function lastLines(text: string, count: number): string {
	const lines = text.split(/(?<=\n)/);
	return count === 0 ? '' : lines.slice(-count).join('');
}
