/** Questions to an agent, over its node's loopback. */
import { request } from 'node:http';
import type { NetnsSwitcher } from '../../bpf/netns.ts';
import { HEALTH_PORT } from './agent-arguments.ts';

const TIMEOUT_MS = 1000;

/** Whether the agent of the node says that it serves: /readyz, once its maps hold every Service. */
export function agentReady(switcher: NetnsSwitcher, netns: string): Promise<boolean> {
	return new Promise((resolve) => {
		const call = request({
			path: '/readyz',
			headers: { host: 'localhost', connection: 'close' },
			timeout: TIMEOUT_MS,
			createConnection: () => switcher.connectTcp(netns, '127.0.0.1', HEALTH_PORT),
		});
		call.once('response', (response) => {
			response.resume();
			resolve(response.statusCode === 200);
		});
		call.once('timeout', () => call.destroy());
		call.once('error', () => resolve(false));
		call.once('close', () => resolve(false));
		call.end();
	});
}
