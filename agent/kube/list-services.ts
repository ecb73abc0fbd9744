import { systemClock } from '../base/clock.ts';
import type { ApiTarget } from './kubeconfig.ts';
import { listPages } from './list.ts';
import { asObject, type RawObject, SERVICES } from './resources.ts';
import { openTransport } from './transport.ts';

const PAGE = 500;
const STALL_MS = 10_000;

/**
 * All current Services of the cluster, including those that proxies ignore.
 * @throws ApiStatusError, StalledError
 */
export async function listServices(target: ApiTarget): Promise<RawObject[]> {
	const transport = openTransport(target);
	const resource = { ...SERVICES, selector: {} };
	const { signal } = new AbortController();
	const services: RawObject[] = [];
	try {
		const pages = listPages({ resource, transport, clock: systemClock, stallMs: STALL_MS, signal }, '', PAGE);
		for await (const { items } of pages) services.push(...items.flatMap((item) => asObject(item) ?? []));
	} finally {
		transport.close();
	}
	return services;
}
