/**
 * The two channels to a pod server process. With an IPC channel, the child ends with its parent.
 * With a unix socket, it outlives the control plane and keeps serving pods. The next control plane
 * connects to it.
 */
import { fork, spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { socketPath } from '../unix-path.ts';
import type { Reply, Request } from './messages.ts';

export interface Channel {
	/** The process id, if this process started it. */
	readonly pid: number | undefined;
	send(request: Request): void;
	/** Ends the process. */
	end(): void;
}

export interface ChannelEvents {
	onReply(reply: Reply): void;
	/** Called when the process ends or the connection closes. */
	onEnd(how: string): void;
}

export type OpenChannel = (events: ChannelEvents) => Channel | Promise<Channel>;

const PROCESS = fileURLToPath(new URL('./process.ts', import.meta.url));
const CONNECT_TRIES = 200;
const CONNECT_PAUSE_MS = 50;

/** Starts a child that ends with this process. */
export function openChild({ onReply, onEnd }: ChannelEvents): Channel {
	const child = fork(PROCESS, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: [] });
	child.on('message', onReply);
	child.on('error', () => {}); // 'exit' follows
	child.once('exit', (code, signal) => onEnd(signal ?? `status ${code}`));
	return {
		pid: child.pid,
		send: (request) => void (child.connected && child.send(request, () => {})),
		end: () => void (child.connected && child.disconnect()),
	};
}

/** Connects to the process that listens on the socket. Starts it if there is none. */
export async function openSocket(path: string, { onReply, onEnd }: ChannelEvents): Promise<Channel> {
	const found = await tryConnect(path);
	const pid = found ? undefined : start(path);
	const socket = found ?? (await connectAgain(path));
	createInterface({ input: socket }).on('line', (line) => onReply(JSON.parse(line) as Reply));
	socket.on('error', () => {}); // 'close' follows
	socket.once('close', () => onEnd('closed'));
	const send = (request: Request) => void (socket.writable && socket.write(`${JSON.stringify(request)}\n`));
	return { pid, send, end: () => send({ type: 'end' }) };
}

/** Starts the process in its own group, so that signals to this group do not reach it. */
function start(path: string): number | undefined {
	const child = spawn(process.execPath, [PROCESS, path], {
		stdio: ['ignore', 'inherit', 'inherit'],
		detached: true,
	});
	child.on('error', () => {}); // connectAgain() will fail and report it
	child.unref();
	return child.pid;
}

async function connectAgain(path: string): Promise<Socket> {
	for (let tries = 1; ; tries++) {
		const socket = await tryConnect(path);
		if (socket) return socket;
		if (tries === CONNECT_TRIES) throw new Error(`Cannot reach the pod server on ${path}`);
		await sleep(CONNECT_PAUSE_MS);
	}
}

function tryConnect(path: string): Promise<Socket | undefined> {
	const way = socketPath(path);
	return new Promise<Socket | undefined>((resolve) => {
		const socket = connect(way.path);
		socket.once('connect', () => resolve(socket));
		socket.once('error', () => resolve(undefined));
	}).finally(() => way[Symbol.dispose]());
}
