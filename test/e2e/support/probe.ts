/**
 * The client of the tests. Node runs it where the traffic originates: on a node, in a pod, outside.
 * It has no imports beyond Node, so that `node -e` in a container can run its text.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type {
	Answer,
	FlowReport,
	FlowRequest,
	HoldReport,
	HoldRequest,
	HttpRequest,
	ProbeReply,
	ProbeRequest,
	StreamReport,
	StreamRequest,
	UdpRequest,
} from './probe-messages.ts';

const HOLD_TIMEOUT_MS = 3000;
type Reports = Omit<ProbeReply, 'id'>;
/** Operations that run until their release. */
const held = new Map<string, { stop: () => void; reports: Reports }>();
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function requestText(path: string, keep: boolean): string {
	return `GET ${path} HTTP/1.1\r\nHost: probe\r\nConnection: ${keep ? 'keep-alive' : 'close'}\r\n\r\n`;
}

/** The body of a complete response, undefined while it is incomplete. */
function parseBody(text: string): string | undefined {
	const end = text.indexOf('\r\n\r\n');
	if (end < 0) return undefined;
	const head = text.slice(0, end);
	const body = text.slice(end + 4);
	const length = /^content-length: *(\d+)/im.exec(head)?.[1];
	if (length !== undefined) return body.length >= Number(length) ? body.slice(0, Number(length)) : undefined;
	if (!/^transfer-encoding: *chunked/im.test(head)) return undefined;
	if (!body.endsWith('0\r\n\r\n')) return undefined;
	return body
		.split('\r\n')
		.filter((_, i) => i % 2 === 1)
		.join('')
		.trim();
}

function httpOnce(request: HttpRequest, localPort: number | undefined): Promise<Answer> {
	const { host, port, path, timeoutMs } = request;
	const start = performance.now();
	return new Promise((resolve) => {
		const socket = connect({ host, port, ...(localPort ? { localPort } : {}) });
		let text = '';
		let done = false;
		const finish = (answer: Omit<Answer, 'ms'>) => {
			if (done) return;
			done = true;
			clearTimeout(timer);
			if (localPort && !socket.destroyed) socket.resetAndDestroy();
			else socket.destroy();
			resolve({ ...answer, ms: performance.now() - start });
		};
		const timer = setTimeout(() => finish({ error: 'timeout' }), timeoutMs);
		socket.setEncoding('latin1');
		socket.on('connect', () => socket.write(requestText(path, localPort !== undefined)));
		socket.on('data', (chunk: string) => {
			text += chunk;
			const body = parseBody(text);
			if (body !== undefined) finish({ status: Number(text.split(' ', 2)[1]), body });
		});
		socket.on('error', (error: NodeJS.ErrnoException) => finish({ error: error.code ?? error.message }));
		socket.on('close', () => finish({ error: 'closed' }));
	});
}

function udpOnce(request: UdpRequest, localPort: number | undefined): Promise<Answer> {
	const { host, port, message, timeoutMs } = request;
	const start = performance.now();
	return new Promise((resolve) => {
		const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4' });
		const finish = (answer: { body: string } | { error: string }) => {
			clearTimeout(timer);
			socket.removeAllListeners();
			socket.on('error', () => {});
			socket.close();
			resolve({ ...answer, ms: performance.now() - start });
		};
		const timer = setTimeout(() => finish({ error: 'timeout' }), timeoutMs);
		socket.once('error', (error: NodeJS.ErrnoException) => finish({ error: error.code ?? error.message }));
		// The socket is connected, so that it receives ICMP errors and only the answers of its peer.
		socket.once('connect', () => socket.send(message));
		socket.once('message', (body) => finish({ body: body.toString() }));
		socket.bind(localPort ?? 0, () => socket.connect(port, host));
	});
}

async function repeat<T extends HttpRequest | UdpRequest>(
	request: T,
	once: (request: T, localPort: number | undefined) => Promise<Answer>,
): Promise<Answer[]> {
	const answers: Answer[] = new Array(request.count);
	let next = 0;
	const worker = async () => {
		for (let i = next++; i < request.count; i = next++)
			answers[i] = await once(request, request.localPorts?.[i]);
	};
	await Promise.all(Array.from({ length: Math.min(request.parallel, request.count) }, worker));
	return answers;
}

/** Sends a request over one connection, waits for the answer, pauses and repeats. */
function holdOne(request: HoldRequest, report: HoldReport, stopped: () => boolean): Promise<Socket> {
	return new Promise((resolve, reject) => {
		const socket = connect({ host: request.host, port: request.port });
		let text = '';
		let timer: NodeJS.Timeout | undefined;
		let open = false;
		const lose = (reason: string) => {
			clearTimeout(timer);
			socket.destroy();
			if (!open) reject(new Error(reason));
			else if (!stopped()) report.lost.push(reason);
		};
		const ask = () => {
			if (socket.destroyed) return;
			text = '';
			timer = setTimeout(() => lose('timeout'), HOLD_TIMEOUT_MS);
			socket.write(requestText(request.path, true));
		};
		socket.setEncoding('latin1');
		socket.on('connect', () => {
			open = true;
			report.connections++;
			ask();
			resolve(socket);
		});
		socket.on('data', (chunk: string) => {
			text += chunk;
			if (parseBody(text) === undefined) return;
			report.requests++;
			clearTimeout(timer);
			timer = setTimeout(ask, request.everyMs);
		});
		socket.once('error', (error: NodeJS.ErrnoException) => lose(error.code ?? error.message));
		socket.once('end', () => lose('closed'));
	});
}

async function hold(request: HoldRequest): Promise<HoldReport> {
	const report: HoldReport = { connections: 0, requests: 0, lost: [] };
	let stop = false;
	const sockets = await Promise.all(
		Array.from({ length: request.connections }, () => holdOne(request, report, () => stop)),
	);
	held.set(request.name, {
		reports: { report },
		stop: () => {
			stop = true;
			for (const socket of sockets) socket.destroy();
		},
	});
	return report;
}

function stream({ name, targets, everyMs, timeoutMs }: StreamRequest): void {
	const report: StreamReport = { requests: 0, failures: [], slowestMs: 0 };
	let stopped = false;
	const ask = async ({ host, port, udp }: StreamRequest['targets'][number]) => {
		const common = { host, port, count: 1, parallel: 1, timeoutMs };
		while (!stopped) {
			const { body, error, ms } = udp
				? await udpOnce({ op: 'udp', message: 'hostname', ...common }, undefined)
				: await httpOnce({ op: 'http', path: '/hostname', ...common }, undefined);
			report.requests++;
			report.slowestMs = Math.max(report.slowestMs, ms);
			const what = `${udp ? 'udp' : 'tcp'} ${host} ${port}`;
			if (body === undefined) report.failures.push(`${what}: ${error} at ${new Date().toISOString()}`);
			await pause(everyMs);
		}
	};
	for (const target of targets) void ask(target);
	const stop = () => {
		stopped = true;
	};
	held.set(name, { reports: { stream: report }, stop });
}

/** Records which backends answer. */
function flow(request: FlowRequest): void {
	const report: FlowReport = { spans: [] };
	const answered = (body: string) => {
		const at = performance.now();
		const span = report.spans.at(-1);
		if (span?.body === body) span.last = at;
		else report.spans.push({ body, first: at, last: at });
	};
	const { send, close } =
		request.socket === 'fresh' ? freshSockets(request, answered) : oneSocket(request, answered);
	let stopped = false;
	const run = async () => {
		for (; !stopped; await pause(request.everyMs)) await send();
		close();
	};
	void run();
	const stop = () => {
		stopped = true;
	};
	held.set(request.name, { reports: { flow: report }, stop });
}

interface Sender {
	send(): Promise<void>;
	close(): void;
}

const FRESH_TIMEOUT_MS = 200;
/** A client reconnects after this time without an answer, as resolvers do. */
const SILENCE_MS = 1500;

function freshSockets({ host, port, localPort }: FlowRequest, answered: (body: string) => void): Sender {
	const common = {
		op: 'udp',
		message: 'hostname',
		count: 1,
		parallel: 1,
		timeoutMs: FRESH_TIMEOUT_MS,
	} as const;
	const send = async () => {
		const { body } = await udpOnce({ host, port, ...common }, localPort);
		if (body !== undefined) answered(body);
	};
	return { send, close: () => {} };
}

/** @returns the error if the socket cannot connect */
function connectUdp(socket: UdpSocket, port: number, host: string): Promise<Error | undefined> {
	return new Promise((resolve) => socket.connect(port, host, (error?: Error) => resolve(error)));
}

function oneSocket(request: FlowRequest, answered: (body: string) => void): Sender {
	const { host, port, localPort, everyMs, socket: kind } = request;
	let heard = performance.now();
	const open = async (): Promise<UdpSocket> => {
		const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4' });
		socket.on('message', (body) => {
			heard = performance.now();
			answered(body.toString());
		});
		await new Promise<void>((resolve) => socket.bind(localPort, resolve));
		if (kind === 'connected' && (await connectUdp(socket, port, host))) {
			socket.close();
			await pause(everyMs);
			return open();
		}
		socket.once('error', () => replace(socket));
		return socket;
	};
	let current = open();
	/** Replaces the socket after an error, or when it stays without an answer. */
	const replace = (socket: UdpSocket) => {
		heard = performance.now();
		socket.removeAllListeners('error');
		socket.on('error', () => {}); // errors of the last datagram
		socket.close();
		current = open();
	};
	return {
		send: async () => {
			const socket = await current;
			if (kind !== 'connected') socket.send('hostname', port, host);
			else if (performance.now() - heard > SILENCE_MS) replace(socket);
			else socket.send('hostname');
		},
		close: () => void current.then((socket) => socket.close()),
	};
}

async function handle(request: ProbeRequest): Promise<Reports> {
	switch (request.op) {
		case 'http':
			return { answers: await repeat(request, httpOnce) };
		case 'udp':
			return { answers: await repeat(request, udpOnce) };
		case 'hold':
			return { report: await hold(request) };
		case 'stream':
			stream(request);
			return {};
		case 'flow':
			flow(request);
			return {};
		case 'look':
		case 'release': {
			const one = held.get(request.name);
			if (request.op === 'release') one?.stop();
			return one ? one.reports : { failure: `Nothing is held as ${request.name}` };
		}
	}
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
	const { id, ...request } = JSON.parse(line) as ProbeRequest & { id: number };
	const reply = (rest: Reports) => process.stdout.write(`${JSON.stringify({ id, ...rest })}\n`);
	handle(request as ProbeRequest).then(reply, (error: unknown) => reply({ failure: String(error) }));
});
lines.on('close', () => process.exit());
