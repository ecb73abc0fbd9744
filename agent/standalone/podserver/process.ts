/**
 * The process behind all pods that have no program of their own: sockets in every pod's namespace, one event loop.
 * Started by fork() (client.ts); ends with the IPC channel.
 */
import { NetnsSwitcher } from '../../bpf/netns.ts';
import type { Reply, Request } from './messages.ts';
import { ServedPods } from './pods.ts';

const pods = new ServedPods(new NetnsSwitcher());
/** Requests are handled one after the other: two for one pod must not open the same port twice. */
let last: Promise<void> = Promise.resolve();

process.on('message', (request: Request) => {
	last = last.then(() => handle(request));
});
process.on('disconnect', () => process.exit(0));

async function handle(request: Request): Promise<void> {
	const reply = (failures: Reply['failures']) => {
		if (process.connected) process.send?.({ sequence: request.sequence, failures } satisfies Reply);
	};
	if (request.type === 'serve') {
		reply(await pods.serve(request.pod));
		return;
	}
	pods.stop(request.id);
	reply([]);
}
