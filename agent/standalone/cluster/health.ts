/** Questions to an agent. */
import { type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import type { NetnsSwitcher } from '../../bpf/netns.ts';
import type { AgentAnswer } from '../lb/agent-watch.ts';
import { HEALTH_PORT, METRICS_PORT } from './agent-arguments.ts';

const TIMEOUT_MS = 1000;
const LOOPBACK = '127.0.0.1';

/** Whether the agent of the node says that it serves: /readyz, once its maps hold every Service. */
export async function agentReady(switcher: NetnsSwitcher, netns: string): Promise<boolean> {
	const question = { address: LOOPBACK, port: HEALTH_PORT, path: '/readyz' };
	return healthOf(await ask(switcher, netns, question)) === 'well';
}

/** Whether the agent at a node's address is well and its node to stay, asked over the wire from another namespace. */
export async function agentHealth(
	switcher: NetnsSwitcher,
	from: string,
	address: string,
): Promise<AgentAnswer> {
	return healthOf(await ask(switcher, from, { address, port: HEALTH_PORT, path: '/healthz' }));
}

/** The part of /statusz that is read. */
export interface AgentSays {
	readonly problems: readonly { readonly object: string; readonly field: string; readonly message: string }[];
}

/** @returns undefined when it does not answer. */
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

/** `gone`: nothing is there; `ill`: it refuses, or connects and says nothing. */
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
			// A timeout of the request would begin when the connection is up
			signal: AbortSignal.timeout(TIMEOUT_MS),
			createConnection: () => socket,
		});
		call.once('response', resolve);
		call.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED' ? 'ill' : failure));
		call.once('close', () => resolve(failure));
		call.end();
	});
}
