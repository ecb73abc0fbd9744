/**
 * The process that serves all pods without a program: sockets in every pod's namespace, one event
 * loop. channel.ts starts it. With the path of a unix socket it runs until an `end` request, else
 * until its parent ends.
 */
import { chmodSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { socketPath } from '../unix-path.ts';
import type { Reply, Request } from './messages.ts';
import { ServedPods } from './pods.ts';

type Answer = (reply: Reply) => void;

const pods = new ServedPods(new NetnsSwitcher());
/**
 * Requests are handled one after the other, because two for one pod must not open the same port
 * twice.
 */
let last: Promise<void> = Promise.resolve();

function take(request: Request, answer: Answer): void {
	last = last.then(() => handle(request, answer));
}

async function handle(request: Request, answer: Answer): Promise<void> {
	switch (request.type) {
		case 'serve':
			answer({ sequence: request.sequence, failures: await pods.serve(request.pod) });
			return;
		case 'stop':
			pods.stop(request.id);
			answer({ sequence: request.sequence, failures: [] });
			return;
		case 'retain':
			pods.retain(request.ids);
			return;
		case 'end':
			process.exit(0);
	}
}

function listen(path: string): void {
	rmSync(path, { force: true });
	const server = createServer((socket) => {
		socket.on('error', () => {}); // the control plane was killed: the next one connects
		const answer: Answer = (reply) => void (socket.writable && socket.write(`${JSON.stringify(reply)}\n`));
		createInterface({ input: socket }).on('line', (line) => take(JSON.parse(line) as Request, answer));
	});
	// keep the path as long as the process runs
	server.listen(socketPath(path).path, () => chmodSync(path, 0o600));
}

const path = process.argv[2];
if (path !== undefined) listen(path);
else {
	process.on('message', (request: Request) =>
		take(request, (reply) => void (process.connected && process.send?.(reply))),
	);
	process.on('disconnect', () => process.exit(0));
}
