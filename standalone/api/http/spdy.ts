/**
 * The subset of SPDY/3.1 with which Kubernetes clients multiplex streams over one connection (here:
 * a WebSocket). It has client-opened streams with headers, data in both directions, and half-close.
 * Like moby/spdystream, it has no flow control.
 */
import { Duplex } from 'node:stream';
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib';
import { spdyDictionary } from './spdy-dictionary.ts';

const CONTROL = 0x80;
const VERSION = 3;
const TYPE = { synStream: 1, synReply: 2, rstStream: 3, ping: 6, goAway: 7, headers: 8 } as const;
const FIN = 1;
const HEAD_BYTES = 8;
const STREAM_ID = 0x7fffffff;

/** Sends bytes to the peer. */
export type Send = (bytes: Buffer, done: (error?: Error | null) => void) => void;

export interface SpdyStream {
	/** Names are in lower case. */
	readonly headers: ReadonlyMap<string, string>;
	/** Each side can end its direction. */
	readonly data: Duplex;
}

export class SpdySession {
	readonly #send: Send;
	readonly #onStream: (stream: SpdyStream) => void;
	readonly #streams = new Map<number, Duplex>();
	readonly #inflate: Inflate;
	readonly #deflate: Deflate;
	#held = Buffer.alloc(0);
	/** Serializes frame handling, because all header blocks share one compression context. */
	#last: Promise<void> = Promise.resolve();

	constructor(send: Send, onStream: (stream: SpdyStream) => void) {
		this.#send = send;
		this.#onStream = onStream;
		const dictionary = spdyDictionary();
		this.#inflate = createInflate({ dictionary });
		this.#deflate = createDeflate({ dictionary });
	}

	/** Handles received bytes, split at any position. */
	receive(bytes: Buffer): void {
		this.#held = Buffer.concat([this.#held, bytes]);
		while (this.#held.length >= HEAD_BYTES) {
			const end = HEAD_BYTES + this.#held.readUIntBE(5, 3);
			if (this.#held.length < end) return;
			const frame = this.#held.subarray(0, end);
			this.#held = this.#held.subarray(end);
			this.#last = this.#last.then(() => this.#handle(frame)).catch(() => this.close());
		}
	}

	/** Ends all streams. */
	close(): void {
		for (const stream of this.#streams.values()) stream.destroy();
		this.#streams.clear();
		this.#inflate.close();
		this.#deflate.close();
	}

	async #handle(frame: Buffer): Promise<void> {
		const flags = frame[4]!;
		if ((frame[0]! & CONTROL) === 0) {
			this.#data(frame.readUInt32BE(0), frame.subarray(HEAD_BYTES), flags);
			return;
		}
		const payload = frame.subarray(HEAD_BYTES);
		switch (frame.readUInt16BE(2)) {
			case TYPE.synStream:
				await this.#begin(payload, flags);
				return;
			case TYPE.headers:
				await through(this.#inflate, payload.subarray(4));
				return;
			case TYPE.rstStream:
				this.#streams.get(payload.readUInt32BE(0) & STREAM_ID)?.destroy();
				return;
			case TYPE.ping:
				this.#send(frame, () => {});
				return;
			case TYPE.goAway:
				this.close();
		}
	}

	#data(id: number, data: Buffer, flags: number): void {
		const stream = this.#streams.get(id);
		if (data.length > 0) stream?.push(data);
		if (flags & FIN) stream?.push(null);
	}

	/** The payload has stream id, associated stream, priority and slot, then the headers. */
	async #begin(payload: Buffer, flags: number): Promise<void> {
		const id = payload.readUInt32BE(0) & STREAM_ID;
		const headers = parseHeaders(await through(this.#inflate, payload.subarray(10)));
		const data = this.#duplex(id);
		this.#streams.set(id, data);
		const none = await through(this.#deflate, Buffer.alloc(4));
		this.#send(control(TYPE.synReply, Buffer.concat([number(id), none])), () => {});
		if (flags & FIN) data.push(null);
		this.#onStream({ headers, data });
	}

	#duplex(id: number): Duplex {
		const data = new Duplex({
			read() {},
			write: (chunk: Buffer, _encoding, done) => this.#send(dataFrame(id, chunk, 0), done),
			final: (done) => this.#send(dataFrame(id, Buffer.alloc(0), FIN), done),
		});
		data.on('error', () => {}); // the session has ended
		data.once('close', () => this.#streams.delete(id));
		return data;
	}
}

/** Runs `input` through a zlib stream. @returns the complete output for this input. */
function through(zlib: Inflate | Deflate, input: Buffer): Promise<Buffer> {
	return new Promise((resolve, reject) => {
		zlib.once('error', reject);
		zlib.write(input);
		zlib.flush(constants.Z_SYNC_FLUSH, () => {
			zlib.off('error', reject);
			resolve((zlib.read() as Buffer | null) ?? Buffer.alloc(0));
		});
	});
}

/**
 * Parses a header block: the count, then each name and value with its length; all numbers have 32
 * bits.
 */
function parseHeaders(block: Buffer): Map<string, string> {
	let at = 0;
	const next = () => {
		at += 4;
		return block.readUInt32BE(at - 4);
	};
	const text = () => {
		const end = next() + at;
		const slice = block.subarray(at, end).toString();
		at = end;
		return slice;
	};
	return new Map(Array.from({ length: next() }, () => [text().toLowerCase(), text()]));
}

function control(type: number, payload: Buffer): Buffer {
	const head = Buffer.alloc(HEAD_BYTES);
	head.writeUInt16BE((CONTROL << 8) | VERSION, 0);
	head.writeUInt16BE(type, 2);
	head.writeUIntBE(payload.length, 5, 3);
	return Buffer.concat([head, payload]);
}

function dataFrame(id: number, data: Buffer, flags: number): Buffer {
	const head = Buffer.alloc(HEAD_BYTES);
	head.writeUInt32BE(id, 0);
	head[4] = flags;
	head.writeUIntBE(data.length, 5, 3);
	return Buffer.concat([head, data]);
}

function number(value: number): Buffer {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32BE(value);
	return bytes;
}
