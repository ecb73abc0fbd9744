/**
 * A process in one namespace and cgroup that opens sockets on command. It reads one command a line
 * as JSON and writes one result a line, `{ id, ok }` or `{ id, error, code }`. remote.ts is the
 * other end.
 */
import { createHash } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import http from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { BulkResult, Commands, Dial, Reply } from './commands.ts';

const open = new Map<number, Socket>();
const openUdp = new Map<number, UdpSocket>();
let nextHandle = 1;

/** A datagram with this prefix gets an answer of its own size. */
const PADDED = 'padded';
const fill = (size: number) => Buffer.alloc(size, 'maglane moves bytes; ');
const sha = (data: Buffer) => createHash('sha256').update(data).digest('hex');

/**
 * The first line of a connection is `echo`, `upload N` or `download N`. Answers to `echo` and
 * `upload` carry the server name.
 */
function serveTcp(name: string, socket: Socket): void {
	const hash = createHash('sha256');
	let head = Buffer.alloc(0);
	let left = 0;
	const upload = (chunk: Buffer) => {
		hash.update(chunk);
		left -= chunk.length;
		if (left <= 0) socket.end(`${name} ${hash.digest('hex')}\n`);
	};
	socket.on('error', () => socket.destroy());
	socket.on('data', (chunk) => {
		if (left > 0) return upload(chunk);
		head = Buffer.concat([head, chunk]);
		const end = head.indexOf('\n');
		if (end < 0) return;
		const [verb, size] = head.toString('latin1', 0, end).split(' ');
		const rest = head.subarray(end + 1);
		head = Buffer.alloc(0);
		if (verb === 'echo') socket.write(`${name} ${socket.remoteAddress} ${socket.remotePort}\n`);
		else if (verb === 'download') socket.end(fill(Number(size)));
		else {
			left = Number(size);
			upload(rest);
		}
	});
}

function listenTcp({ name, address, port }: Commands['serveTcp']['in']): Promise<true> {
	return new Promise((resolve, reject) => {
		createServer({ noDelay: true }, (socket) => serveTcp(name, socket))
			.once('error', reject)
			.listen({ host: address, port, ipv6Only: true }, () => resolve(true));
	});
}

function listenUdp({ name, address, port }: Commands['serveUdp']['in']): Promise<true> {
	const v6 = address.includes(':');
	const socket = createSocket(v6 ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' });
	socket.on('message', (data, from) => {
		const answer = `${name} ${from.address} ${from.port} ${data.length}`;
		const size = data.toString('latin1', 0, PADDED.length) === PADDED ? data.length : 0;
		socket.send(answer.padEnd(size), from.port, from.address);
	});
	return new Promise((resolve, reject) => {
		socket.once('error', reject).bind({ address, port }, () => resolve(true));
	});
}

function dial({ address, port, localAddress, localPort, timeout = 4000 }: Dial): Promise<Socket> {
	return new Promise((resolve, reject) => {
		const socket = connect({
			host: address,
			port,
			noDelay: true,
			...(localAddress === undefined ? {} : { localAddress }),
			...(localPort === undefined ? {} : { localPort }),
		});
		socket.setTimeout(timeout, () =>
			socket.destroy(Object.assign(new Error('No answer'), { code: 'ETIMEDOUT' })),
		);
		socket.once('error', reject).once('connect', () => resolve(socket));
	});
}

function ask(socket: Socket, line: string): Promise<Buffer> {
	return new Promise((resolve, reject) => {
		const parts: Buffer[] = [];
		socket.once('error', reject);
		socket.once('close', () =>
			reject(Object.assign(new Error('Closed before an answer'), { code: 'ECLOSED' })),
		);
		const onData = (chunk: Buffer) => {
			parts.push(chunk);
			if (!chunk.includes(10)) return;
			socket.off('data', onData).removeAllListeners('close');
			resolve(Buffer.concat(parts));
		};
		socket.on('data', onData);
		socket.write(`${line}\n`);
	});
}

function replyOf(text: string, peerAddress: string | undefined, peerPort: number | undefined): Reply {
	const [name, address, port] = text.trim().split(' ');
	return {
		name: name!,
		seenAddress: address!,
		seenPort: Number(port),
		peerAddress: peerAddress ?? '',
		peerPort: peerPort ?? 0,
	};
}

async function askReply(socket: Socket): Promise<Reply> {
	const text = (await ask(socket, 'echo')).toString();
	return replyOf(text, socket.remoteAddress, socket.remotePort);
}

async function tcp(options: Dial): Promise<Reply> {
	const socket = await dial(options);
	const reply = await askReply(socket);
	socket.destroy();
	return reply;
}

async function bulk({ size, ...options }: Commands['bulk']['in']): Promise<BulkResult> {
	const up = await dial(options);
	up.write(`upload ${size}\n`);
	up.write(fill(size));
	const answer = new Promise<string>((resolve, reject) => {
		let text = '';
		up.on('data', (chunk) => {
			text += chunk;
		});
		up.once('error', reject).once('end', () => resolve(text));
	});
	const [name, uploaded] = (await answer).trim().split(' ');
	const down = await dial(options);
	down.write(`download ${size}\n`);
	const parts: Buffer[] = [];
	for await (const chunk of down) parts.push(chunk as Buffer);
	return { name: name!, sent: sha(fill(size)), uploaded: uploaded!, downloaded: sha(Buffer.concat(parts)) };
}

function udpSocket(options: Dial): Promise<UdpSocket> {
	const socket = createSocket(options.address.includes(':') ? 'udp6' : 'udp4');
	return new Promise((resolve, reject) => {
		socket.once('error', reject);
		socket.bind({ address: options.localAddress, port: options.localPort ?? 0 } as object, () => {
			socket.off('error', reject);
			if (options.ttl !== undefined) socket.setTTL(options.ttl);
			resolve(socket);
		});
	});
}

/**
 * Receives the next datagram. Rejects with the code of an ICMP error of a connected socket, or of
 * an error of `send`.
 */
function hear(
	socket: UdpSocket,
	timeout = 3000,
	send: (sent: (error: Error | null) => void) => void = () => {},
): Promise<Reply> {
	return new Promise((resolve, reject) => {
		const timer = setTimeout(
			() => reject(Object.assign(new Error('No answer'), { code: 'ETIMEDOUT' })),
			timeout,
		);
		const settle = (then: () => void) => {
			clearTimeout(timer);
			socket.removeAllListeners('error').removeAllListeners('message');
			then();
		};
		socket.once('error', (error) => settle(() => reject(error)));
		socket.once('message', (data, from) =>
			settle(() => resolve(replyOf(data.toString(), from.address, from.port))),
		);
		send((error) => {
			if (error) settle(() => reject(error));
		});
	});
}

/** Sends once and waits for the answer. */
function exchange(socket: UdpSocket, options: Dial, connected: boolean): Promise<Reply> {
	return hear(socket, options.timeout, (sent) => {
		if (connected) socket.send('hello', sent);
		else socket.send('hello', options.port, options.address, sent);
	});
}

function get({ url }: Commands['get']['in']): Promise<Commands['get']['out']> {
	return new Promise((resolve, reject) => {
		http
			.get(url, { timeout: 3000, agent: false }, (response) => {
				response.resume();
				resolve({ status: response.statusCode! });
			})
			.once('timeout', function (this: http.ClientRequest) {
				this.destroy(Object.assign(new Error('No answer'), { code: 'ETIMEDOUT' }));
			})
			.once('error', reject);
	});
}

async function udp(options: Dial & { connected?: boolean }): Promise<Reply> {
	const socket = await udpSocket(options);
	try {
		if (options.connected) {
			await new Promise<void>((resolve, reject) => {
				// Node also calls this on failure, with an argument that the types lack
				const connected: (error?: Error) => void = (error) => (error ? reject(error) : resolve());
				socket.connect(options.port, options.address, connected);
			});
		}
		return await exchange(socket, options, options.connected === true);
	} finally {
		socket.close();
	}
}

const handlers: { [K in keyof Commands]: (input: Commands[K]['in']) => Promise<Commands[K]['out']> } = {
	serveTcp: listenTcp,
	serveUdp: listenUdp,
	tcp,
	udp,
	async udpPadded({ bytes, ...to }) {
		const socket = await udpSocket(to);
		try {
			const send = (sent: (error: Error | null) => void) =>
				socket.send(PADDED.padEnd(bytes), to.port, to.address, sent);
			return await hear(socket, to.timeout, send);
		} finally {
			socket.close();
		}
	},
	get,
	bulk,
	async tcpOpen(options) {
		const socket = await dial(options);
		socket.setTimeout(0);
		const handle = nextHandle++;
		open.set(handle, socket);
		return { handle, reply: await askReply(socket) };
	},
	tcpAgain: ({ handle }) => askReply(open.get(handle)!),
	async tcpClose({ handle }) {
		open.get(handle)?.destroy();
		return true;
	},
	async udpBind({ address, port }) {
		const handle = nextHandle++;
		openUdp.set(handle, await udpSocket({ address, port: 0, localAddress: address, localPort: port }));
		return { handle };
	},
	async udpOpen(options) {
		const socket = await udpSocket(options);
		const handle = nextHandle++;
		openUdp.set(handle, socket);
		return { handle, reply: await exchange(socket, options, false) };
	},
	udpAgain: ({ handle, ...to }) => exchange(openUdp.get(handle)!, to, false),
	udpHear: ({ handle, timeout }) => hear(openUdp.get(handle)!, timeout),
};

for await (const line of createInterface({ input: process.stdin })) {
	const { id, op, input } = JSON.parse(line) as { id: number; op: keyof Commands; input: never };
	const answer = (body: object) => process.stdout.write(`${JSON.stringify({ id, ...body })}\n`);
	handlers[op](input).then(
		(ok) => answer({ ok }),
		(error: NodeJS.ErrnoException) => answer({ error: error.message, code: error.code ?? 'EUNKNOWN' }),
	);
}
process.exit(0);
