/**
 * The output of one container run, in the kubelet's format. A line of the file is `<time> <stream>
 * <F or P> <text>` (kubernetes KEP-CRI logging format; P marks a partial line that continues in the
 * next). Only one process may write the file.
 */
import { closeSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export type Stream = 'stdout' | 'stderr';

/**
 * Time for which lines are buffered. A busy server thus causes fewer writes than one for each
 * request.
 */
const FLUSH_MS = 20;
/** Maximum bytes of a line before it is split into parts. */
const PART_BYTES = 16_384;
/** Like the kubelet's containerLogMaxSize. Older output is kept in one more file. */
const MAX_BYTES = 10 * 1024 * 1024;

export class LogFile {
	readonly #path: string;
	readonly #open: Record<Stream, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
	#fd: number | undefined;
	#size = 0;
	#pending = '';
	#timer: NodeJS.Timeout | undefined;

	constructor(path: string) {
		this.#path = path;
	}

	/** Writes output of a program in chunks that may split lines. */
	write(stream: Stream, chunk: Uint8Array): void {
		let rest = Buffer.concat([this.#open[stream], chunk]);
		for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
			this.#add(stream, 'F', rest.subarray(0, end));
			rest = rest.subarray(end + 1);
		}
		for (; rest.length > PART_BYTES; rest = rest.subarray(PART_BYTES))
			this.#add(stream, 'P', rest.subarray(0, PART_BYTES));
		this.#open[stream] = rest;
	}

	line(text: string): void {
		this.write('stdout', Buffer.from(`${text}\n`));
	}

	close(): void {
		for (const stream of ['stdout', 'stderr'] as const)
			if (this.#open[stream].length > 0) this.#add(stream, 'F', this.#open[stream]);
		this.#flush();
		if (this.#fd !== undefined) closeSync(this.#fd);
		this.#fd = undefined;
	}

	#add(stream: Stream, tag: 'F' | 'P', text: Buffer): void {
		this.#pending += `${new Date().toISOString()} ${stream} ${tag} ${text.toString()}\n`;
		this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
	}

	#flush(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		if (this.#pending === '') return;
		if (this.#size > MAX_BYTES) this.#rotate();
		this.#fd ??= this.#create();
		this.#size += writeSync(this.#fd, this.#pending);
		this.#pending = '';
	}

	#create(): number {
		mkdirSync(dirname(this.#path), { recursive: true });
		return openSync(this.#path, 'a');
	}

	#rotate(): void {
		if (this.#fd !== undefined) closeSync(this.#fd);
		renameSync(this.#path, `${this.#path}.old`);
		this.#fd = undefined;
		this.#size = 0;
	}
}
