import { randomInt } from 'node:crypto';
import dgram from 'node:dgram';
import net from 'node:net';
import type { ListenAddress } from './address.ts';
import { FLAG, u16 } from './query.ts';
import { Frames, framed } from './tcp.ts';

/**
 * Sends one query to one server by UDP, and by TCP when the answer was truncated. Each query has
 * its own socket, and so its own port, and an unpredictable id, to recognize the answer.
 *
 * @param message its id is replaced
 * @throws Error when there is no answer within `ms`
 */
export async function exchange(server: ListenAddress, message: Uint8Array, ms: number): Promise<Buffer> {
	const signal = AbortSignal.timeout(ms);
	const query = Buffer.from(message);
	query.writeUInt16BE(randomInt(0x10000));
	const answer = await exchangeUdp(server, query, signal);
	return u16(answer, 2) & FLAG.TC ? await exchangeTcp(server, query, signal) : answer;
}

function exchangeUdp({ host, port }: ListenAddress, query: Buffer, signal: AbortSignal): Promise<Buffer> {
	const socket = dgram.createSocket({ type: host.includes(':') ? 'udp6' : 'udp4', signal });
	return new Promise<Buffer>((resolve, reject) => {
		signal.addEventListener('abort', () => reject(noAnswer(host, 'UDP')), { once: true });
		socket.on('error', reject);
		socket.on('message', (answer) => {
			if (answers(answer, query)) resolve(answer);
		});
		socket.on('connect', () => socket.send(query));
		// connected: the kernel accepts packets only from the server, and reports an unreachable one
		socket.connect(port, host);
	}).finally(() => {
		if (!signal.aborted) socket.close();
	});
}

function exchangeTcp({ host, port }: ListenAddress, query: Buffer, signal: AbortSignal): Promise<Buffer> {
	const socket = net.connect({ host, port, signal });
	const frames = new Frames();
	return new Promise<Buffer>((resolve, reject) => {
		signal.addEventListener('abort', () => reject(noAnswer(host, 'TCP')), { once: true });
		socket.on('error', reject);
		socket.on('close', () => reject(noAnswer(host, 'TCP')));
		socket.on('data', (chunk) => {
			const answer = frames.push(chunk).find((message) => answers(message, query));
			if (answer) resolve(answer);
		});
		socket.write(framed(query));
	}).finally(() => socket.destroy());
}

function noAnswer(host: string, protocol: string): Error {
	return new Error(`Name server ${host} does not answer by ${protocol}`);
}

/** Whether the id and the question match, including the spelling of the query. */
function answers(answer: Buffer, query: Buffer): boolean {
	const end = questionEnd(query);
	if (answer.length < end || u16(answer, 0) !== u16(query, 0) || !(u16(answer, 2) & FLAG.QR)) return false;
	return u16(answer, 4) === 1 && answer.subarray(12, end).equals(query.subarray(12, end));
}

function questionEnd(query: Buffer): number {
	let at = 12;
	while (query[at]) at += 1 + query[at]!;
	return at + 5;
}
