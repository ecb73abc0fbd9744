/**
 * A process with connected sockets, configured by JSON. Each socket sends a request every 100 ms.
 * The process writes changed answers and errors as lines of JSON. After an error it connects a new
 * socket to the same address, except for connected UDP with ECONNREFUSED, which stays open.
 */
import dgram from 'node:dgram';
import net from 'node:net';
import { openNative } from '../../agent/bpf/ffi/native.ts';

export interface Wanted {
	readonly name: string;
	/** `send` is unconnected UDP. Its answers are written with their source. */
	readonly kind: 'tcp' | 'mptcp' | 'udp4' | 'udp6' | 'send4' | 'send6';
	readonly address: string;
	readonly port: number;
}

const ASK_MS = 100;
/** AF_INET, AF_INET6; SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC; IPPROTO_MPTCP. */
const FAMILY = { 4: 2, 6: 10 } as const;
const STREAM = 1 | 0o4000 | 0o2000000;
const MPTCP = 262;

function tell(name: string, told: { answer?: string; error?: string }): void {
	process.stdout.write(`${JSON.stringify({ name, ...told, at: Date.now() })}\n`);
}

function keep(wanted: Wanted): void {
	const state = { last: '' };
	const answered = (data: Buffer): void => {
		const answer = data.toString().split('\n')[0]!;
		if (answer !== state.last) tell(wanted.name, { answer });
		state.last = answer;
	};
	const failed = (error: NodeJS.ErrnoException): void => {
		tell(wanted.name, { error: error.code ?? error.message });
		setTimeout(() => keep(wanted), ASK_MS);
	};
	const { kind } = wanted;
	if (kind === 'tcp' || kind === 'mptcp') keepTcp(wanted, answered, failed);
	else if (kind === 'udp4' || kind === 'udp6') keepUdp(kind, wanted, state, answered, failed);
	else keepSending(kind === 'send4' ? 'udp4' : 'udp6', wanted, answered, failed);
}

type Failed = (error: NodeJS.ErrnoException) => void;

function mptcpSocket(address: string): net.Socket {
	const fd = openNative('koffi').call.socket(FAMILY[net.isIPv6(address) ? 6 : 4], STREAM, MPTCP);
	if (fd < 0) throw new Error(`Cannot make a socket of MPTCP: ${fd}`);
	const socket = new net.Socket({ fd, readable: true, writable: true, pauseOnCreate: true } as object);
	return socket.once('connect', () => socket.resume());
}

function keepTcp({ kind, address, port }: Wanted, answered: (data: Buffer) => void, failed: Failed): void {
	const socket = kind === 'mptcp' ? mptcpSocket(address) : new net.Socket();
	socket.connect({ host: address, port });
	const timer = setInterval(() => socket.write('?'), ASK_MS);
	socket.on('data', answered);
	socket.once('error', failed);
	socket.once('close', () => clearInterval(timer));
}

function keepUdp(
	kind: 'udp4' | 'udp6',
	{ name, address, port }: Wanted,
	state: { last: string },
	answered: (data: Buffer) => void,
	failed: Failed,
): void {
	const socket = dgram.createSocket(kind);
	let timer: NodeJS.Timeout | undefined;
	const end: Failed = (error) => {
		clearInterval(timer);
		socket.removeAllListeners('error').on('error', () => {});
		socket.close();
		failed(error);
	};
	socket.on('message', answered);
	// ECONNREFUSED concerns one datagram, so the socket stays open
	const refused: Failed = (error) => {
		if (error.code !== 'ECONNREFUSED') return end(error);
		if (state.last !== error.code) tell(name, { error: error.code });
		state.last = error.code;
	};
	socket.on('error', refused);
	socket.connect(port, address, (error?: Error) => {
		if (error) return end(error);
		timer = setInterval(() => socket.send('?', () => {}), ASK_MS);
	});
}

function keepSending(
	kind: 'udp4' | 'udp6',
	{ address, port }: Wanted,
	answered: (data: Buffer) => void,
	failed: Failed,
): void {
	const socket = dgram.createSocket(kind);
	socket.on('message', (data, from) => answered(Buffer.from(`${data} from ${from.address}:${from.port}`)));
	socket.once('error', failed);
	setInterval(() => socket.send('?', port, address), ASK_MS);
}

for (const wanted of JSON.parse(process.argv[2] ?? '[]') as Wanted[]) keep(wanted);
