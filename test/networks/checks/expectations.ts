/** Expectations that checks share. */
import { expect } from 'vitest';
import { openNative } from '../../../agent/bpf/ffi/native.ts';
import { probe } from '../../../agent/bpf/probe.ts';
import type { Dial } from '../../netns/dataplane/commands.ts';
import { PATIENCE, type Site, SLOWNESS, type Vantage, WAYS, type Way } from '../support/check.ts';

/**
 * Expects an answer from this pod in every way, with the dialled address as the peer. Without
 * `seenAddress` the pod may see any client address.
 */
export async function expectAnswers(
	site: Site,
	from: Vantage,
	to: Dial,
	name: string,
	seenAddress?: string,
	ways: readonly Way[] = WAYS,
): Promise<void> {
	for (const way of ways) {
		const reply = await site.ask(from, way, to).catch((error: Error) => error.message);
		const seen = seenAddress === undefined ? {} : { seenAddress };
		expect(reply, `${way} from ${from} to ${to.address}:${to.port}`).toMatchObject({
			...{ name, peerAddress: to.address, peerPort: to.port },
			...seen,
		});
	}
}

/** Milliseconds, less than the time to the first retransmission. */
const SOON = 1000 * SLOWNESS;

/**
 * Error of connect() when our program refuses it. Before Linux 5.18 the kernel always returns
 * EPERM.
 */
let refusal: 'ECONNREFUSED' | 'EPERM' | undefined;
const socketRefusal = () => {
	refusal ??= probe(openNative('koffi'), '/sys/fs/bpf').setRetval.ok ? 'ECONNREFUSED' : 'EPERM';
	return refusal;
};

/** Expects a prompt refusal of TCP and connected UDP. */
export async function expectRefused(site: Site, from: Vantage, to: Dial): Promise<void> {
	const bySocket = from === 'client' || from === 'far' ? [] : [socketRefusal()];
	for (const way of ['tcp', 'udp connected'] as const) {
		const begin = performance.now();
		const result = await site.ask(from, way, to).catch((error: { code: string }) => error.code);
		const what = `${way} from ${from} to ${to.address}:${to.port}`;
		expect(['ECONNREFUSED', ...(way === 'tcp' ? bySocket : [])], what).toContain(result);
		expect(performance.now() - begin).toBeLessThan(SOON);
	}
}

/** Expects that all sent bytes arrive in both directions. */
export async function expectBulk(site: Site, from: Vantage, to: Dial, size: number): Promise<void> {
	const failed = (error: Error) => error.message;
	const result = await site
		.peer(from)
		.call('bulk', { timeout: 2 * PATIENCE, ...to, size })
		.catch(failed);
	expect(result, `from ${from} to ${to.address}:${to.port}`).toMatchObject({ name: expect.any(String) });
	const { sent, uploaded, downloaded } = result as { sent: string; uploaded: string; downloaded: string };
	expect([uploaded, downloaded]).toEqual([sent, sent]);
}
