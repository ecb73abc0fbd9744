/**
 * Connects a process to a WebSocket for `kubectl exec` and `attach` (kubernetes KEP-4006). The
 * first byte of each message is the stream number. v5 adds a message that closes a stream.
 */
import type { Readable } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Ended, RemoteProcess } from '../pod-access.ts';

/** The newest first. v4 cannot close stdin. */
export const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
/** Carries the final Status. */
const ERROR = 3;
const RESIZE = 4;
const CLOSE = 255;

const NORMAL_CLOSURE = 1000;

export interface RemoteStreams {
	readonly stdout: boolean;
	readonly stderr: boolean;
	readonly tty: boolean;
}

export function bridge(socket: WebSocket, process: RemoteProcess, wanted: RemoteStreams): void {
	if (wanted.stdout) send(socket, STDOUT, process.stdout);
	else process.stdout.resume();
	if (wanted.stderr && process.stderr) send(socket, STDERR, process.stderr);
	else process.stderr?.resume();
	socket.on('message', (message) => receive(message, process, wanted.tty));
	socket.on('error', () => {}); // 'close' follows
	socket.on('close', () => process.hangUp());
	void Promise.all([process.ended, process.drained]).then(([ended]) => {
		const status = Buffer.from(JSON.stringify(statusOf(ended)));
		socket.send(Buffer.concat([Buffer.of(ERROR), status]), () => socket.close(NORMAL_CLOSURE));
	});
}

/** Sends one message at a time. While the client is slower than the process, the process blocks. */
function send(socket: WebSocket, channel: number, stream: Readable): void {
	// kubectl regards the first message of a stream, even an empty one, as its start
	socket.send(Buffer.of(channel));
	const onData = (chunk: Buffer) => {
		stream.pause();
		socket.send(Buffer.concat([Buffer.of(channel), chunk]), () => stream.resume());
	};
	stream.on('data', onData);
	socket.on('close', () => stream.off('data', onData));
}

function receive(message: Buffer, process: RemoteProcess, tty: boolean): void {
	const channel = message[0];
	const data = message.subarray(1);
	if (channel === STDIN) process.stdin?.write(data);
	else if (channel === CLOSE && data[0] === STDIN) closeInput(process, tty);
	else if (channel === RESIZE) resize(process, data.toString());
}

/** The end-of-input character of a terminal (VEOF of termios(3)). */
const END_OF_INPUT = '\x04';

function closeInput({ stdin }: RemoteProcess, tty: boolean): void {
	if (tty) stdin?.write(END_OF_INPUT);
	else stdin?.end();
}

function resize(process: RemoteProcess, text: string): void {
	try {
		const { Width, Height } = JSON.parse(text) as { Width: number; Height: number };
		process.resize(Width, Height);
	} catch {
		// Malformed size, or the terminal is closed: ignore the message
	}
}

/** The final metav1.Status. kubectl exits with the exit code in it. */
function statusOf({ exitCode }: Ended): object {
	if (exitCode === 0) return { metadata: {}, status: 'Success' };
	return {
		metadata: {},
		status: 'Failure',
		message: `command terminated with non-zero exit code: exit status ${exitCode}`,
		reason: 'NonZeroExitCode',
		details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
	};
}
