/** Health and status queries to an agent. */
import { type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import type { AgentAnswer } from '../lb/agent-watch.ts';
import { HEALTH_PORT, METRICS_PORT } from './agent-arguments.ts';

const TIMEOUT_MS = 1000;
const LOOPBACK = '127.0.0.1';

/** Whether the node's agent is ready: /readyz succeeds after its maps contain every Service. */
export async function agentReady(switcher: NetnsSwitcher, netns: string): Promise<boolean> {
	const question = { address: LOOPBACK, port: HEALTH_PORT, path: '/readyz' };
	return healthOf(await ask(switcher, netns, question)) === 'well';
}

/**
 * Queries an agent's /healthz from another namespace. It fails if the agent is unhealthy or its
 * node is about to leave.
 */
export async function agentHealth(
	switcher: NetnsSwitcher,
	from: string,
	address: string,
): Promise<AgentAnswer> {
	return healthOf(await ask(switcher, from, { address, port: HEALTH_PORT, path: '/healthz' }));
}

/** The used part of /statusz. */
export interface AgentSays {
	readonly problems: readonly { readonly object: string; readonly field: string; readonly message: string }[];
}

/** @returns undefined if the agent does not respond. */
export async function agentStatus(switcher: NetnsSwitcher, netns: string): Promise<AgentSays | undefined> {
	const answer = await ask(switcher, netns, { address: LOOPBACK, port: METRICS_PORT, path: '/statusz' });
	if (typeof answer === 'string' || answer.statusCode !== 200) return undefined;
	return (await json(answer)) as AgentSays;
}

function healthOf(answer: Answer): AgentAnswer {
	if (typeof answer === 'string') return answer;
	answer.resume();
	return answer.statusCode === 200 ? 'well' : 'ill';
}

/**
 * `gone`: no response to the connection attempt. `ill`: it refuses, or connects without a response.
 */
type Answer = IncomingMessage | 'ill' | 'gone';

function ask(
	switcher: NetnsSwitcher,
	netns: string,
	{ address, port, path }: { address: string; port: number; path: string },
): Promise<Answer> {
	return new Promise((resolve) => {
		const socket = switcher.connectTcp(netns, address, port);
		let failure: Answer = 'gone';
		socket.once('connect', () => {
			failure = 'ill';
		});
		const call = request({
			path,
			headers: { host: 'localhost', connection: 'close' },
			// A request timeout would start only after the connection is established
			signal: AbortSignal.timeout(TIMEOUT_MS),
			createConnection: () => socket,
		});
		call.once('response', resolve);
		call.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED' ? 'ill' : failure));
		call.once('close', () => resolve(failure));
		call.end();
	});
}
