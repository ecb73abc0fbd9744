/** Questions to an agent, over its node's loopback. */
import { type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import type { NetnsSwitcher } from '../../bpf/netns.ts';
import { HEALTH_PORT, METRICS_PORT } from './agent-arguments.ts';

const TIMEOUT_MS = 1000;

/** Whether the agent of the node says that it serves: /readyz, once its maps hold every Service. */
export async function agentReady(switcher: NetnsSwitcher, netns: string): Promise<boolean> {
	const answer = await ask(switcher, netns, HEALTH_PORT, '/readyz');
	answer?.resume();
	return answer?.statusCode === 200;
}

/** The part of /statusz that is read. */
export interface AgentSays {
	readonly problems: readonly { readonly object: string; readonly field: string; readonly message: string }[];
}

/** @returns undefined when it does not answer. */
export async function agentStatus(switcher: NetnsSwitcher, netns: string): Promise<AgentSays | undefined> {
	const answer = await ask(switcher, netns, METRICS_PORT, '/statusz');
	return answer?.statusCode === 200 ? ((await json(answer)) as AgentSays) : undefined;
}

function ask(
	switcher: NetnsSwitcher,
	netns: string,
	port: number,
	path: string,
): Promise<IncomingMessage | undefined> {
	return new Promise((resolve) => {
		const call = request({
			path,
			headers: { host: 'localhost', connection: 'close' },
			timeout: TIMEOUT_MS,
			createConnection: () => switcher.connectTcp(netns, '127.0.0.1', port),
		});
		call.once('response', resolve);
		call.once('timeout', () => call.destroy());
		call.on('error', () => resolve(undefined));
		call.once('close', () => resolve(undefined));
		call.end();
	});
}
