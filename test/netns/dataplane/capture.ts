/** Runs tcpdump inside a namespace and decodes its frames on arrival. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { type Decoded, decode } from '../../packet/decode.ts';

/**
 * Sizes of the pcap file header and of a record header: seconds, fraction, captured length, length.
 */
const FILE_HEADER = 24;
const RECORD_HEADER = 16;

export class Capture implements AsyncDisposable {
	readonly #child: ChildProcessByStdio<null, Readable, Readable>;
	readonly #exited: Promise<void>;
	readonly #frames: Uint8Array[] = [];
	#rest = Buffer.alloc(0);
	#header = FILE_HEADER;
	#wake: () => void = () => {};

	/**
	 * Resolves when tcpdump captures. `filter` is an expression of tcpdump(8), `netns` a path such as
	 * /run/netns/x.
	 */
	static async start(netns: string, device: string, filter: string): Promise<Capture> {
		const capture = new Capture(netns, device, filter);
		await capture.#listening();
		return capture;
	}

	private constructor(netns: string, device: string, filter: string) {
		const tcpdump = ['tcpdump', '-i', device, '--immediate-mode', '-U', '-s', '0', '-w', '-', filter];
		this.#child = spawn('nsenter', [`--net=${netns}`, ...tcpdump], { stdio: ['ignore', 'pipe', 'pipe'] });
		this.#exited = new Promise((resolve) => this.#child.once('exit', () => resolve()));
		this.#child.stdout.on('data', (chunk: Buffer) => this.#read(chunk));
	}

	#listening(): Promise<void> {
		return new Promise((resolve, reject) => {
			let text = '';
			this.#child.once('error', reject);
			this.#child.stderr.on('data', (chunk) => {
				text += chunk;
				if (text.includes('listening on')) resolve();
			});
			void this.#exited.then(() => reject(new Error(`tcpdump ended: ${text.trim()}`)));
		});
	}

	#read(chunk: Buffer): void {
		this.#rest = Buffer.concat([this.#rest, chunk]).subarray();
		if (this.#header > 0 && this.#rest.length >= this.#header) {
			this.#rest = this.#rest.subarray(this.#header);
			this.#header = 0;
		}
		while (this.#header === 0 && this.#rest.length >= RECORD_HEADER) {
			const length = this.#rest.readUInt32LE(8);
			if (this.#rest.length < RECORD_HEADER + length) break;
			this.#frames.push(Uint8Array.from(this.#rest.subarray(RECORD_HEADER, RECORD_HEADER + length)));
			this.#rest = this.#rest.subarray(RECORD_HEADER + length);
		}
		this.#wake();
	}

	/** All captured frames. */
	frames(): Decoded[] {
		return this.#frames.map((frame) => decode(frame));
	}

	/** All captured frames as bytes. */
	raw(): readonly Uint8Array[] {
		return this.#frames;
	}

	/**
	 * The first captured or future frame that matches.
	 * @throws Error with the number of frames after five seconds
	 */
	async find(fits: (frame: Decoded) => boolean): Promise<Decoded> {
		const until = performance.now() + 5000;
		for (;;) {
			const found = this.frames().find(fits);
			if (found) return found;
			const left = until - performance.now();
			if (left <= 0) throw new Error(`None of ${this.#frames.length} captured frames fits`);
			await new Promise<void>((resolve) => {
				const timer = setTimeout(resolve, left);
				this.#wake = () => {
					clearTimeout(timer);
					resolve();
				};
			});
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#child.kill('SIGTERM');
		await this.#exited;
	}
}
