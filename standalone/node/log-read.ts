/** Reads the files of log-file.ts for `kubectl logs`. */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface LogQuery {
	readonly follow: boolean;
	readonly timestamps: boolean;
	/** Number of last lines; undefined for all. */
	readonly tailLines: number | undefined;
	/** Oldest time, in milliseconds since 1970. */
	readonly since: number | undefined;
	readonly limitBytes: number | undefined;
}

const POLL_MS = 100;
const CHUNK_BYTES = 65_536;

/**
 * Yields the text of a log. With `follow`, also yields later text while `more` returns true.
 * @param more called before each further read of the file
 */
export async function* readLog(
	file: string,
	query: LogQuery,
	more: () => boolean,
	signal: AbortSignal,
): AsyncGenerator<string> {
	let left = query.limitBytes ?? Number.POSITIVE_INFINITY;
	const reader = new LineReader(file);
	try {
		const written = reader.read().filter((line) => query.since === undefined || line.time >= query.since);
		let lines = query.tailLines === undefined ? written : lastLines(written, query.tailLines);
		for (;;) {
			const text = lines.map((line) => show(line, query.timestamps)).join('');
			if (text !== '') yield limit(text, left);
			left -= Buffer.byteLength(text);
			if (!query.follow || left <= 0 || signal.aborted) return;
			// Ask before reading, so that the last read includes all output before the end
			const goesOn = more();
			lines = reader.read();
			if (lines.length > 0) continue;
			if (!goesOn) return;
			await sleep(POLL_MS, undefined, { signal }).catch(() => {}); // aborted: checked above
		}
	} finally {
		reader.close();
	}
}

interface Line {
	/** Milliseconds since 1970. */
	readonly time: number;
	readonly stamp: string;
	readonly text: string;
	/** Whether the line continues in the next one. */
	readonly part: boolean;
}

function show({ stamp, text, part }: Line, timestamps: boolean): string {
	return `${timestamps ? `${stamp} ` : ''}${text}${part ? '' : '\n'}`;
}

function lastLines(lines: readonly Line[], count: number): Line[] {
	let first = lines.length;
	for (let whole = 0; first > 0; first--) if (!lines[first - 1]!.part && ++whole > count) break;
	return lines.slice(first);
}

function limit(text: string, bytes: number): string {
	return Buffer.byteLength(text) <= bytes ? text : Buffer.from(text).subarray(0, bytes).toString();
}

/** Returns new complete lines at each call. Reads a rotated file from its start. */
class LineReader {
	readonly #file: string;
	#fd: number | undefined;
	#offset = 0;
	#rest: Buffer = Buffer.alloc(0);

	constructor(file: string) {
		this.#file = file;
	}

	read(): Line[] {
		const lines = this.#readOpen();
		const { ino } = statSync(this.#file, { throwIfNoEntry: false }) ?? {};
		if (ino === undefined || (this.#fd !== undefined && fstatSync(this.#fd).ino === ino)) return lines;
		this.close();
		this.#fd = openSync(this.#file, 'r');
		this.#offset = 0;
		return [...lines, ...this.#readOpen()];
	}

	close(): void {
		if (this.#fd !== undefined) closeSync(this.#fd);
		this.#fd = undefined;
	}

	#readOpen(): Line[] {
		if (this.#fd === undefined) return [];
		const parts = [this.#rest];
		for (;;) {
			const chunk = Buffer.alloc(CHUNK_BYTES);
			const read = readSync(this.#fd, chunk, 0, CHUNK_BYTES, this.#offset);
			if (read === 0) break;
			this.#offset += read;
			parts.push(chunk.subarray(0, read));
		}
		const all = Buffer.concat(parts);
		const end = all.lastIndexOf(10) + 1;
		this.#rest = all.subarray(end);
		return all.subarray(0, end).toString().split('\n').slice(0, -1).map(parse);
	}
}

function parse(line: string): Line {
	const [stamp = '', , tag] = line.split(' ', 3);
	const text = line.split(' ').slice(3).join(' ');
	return { time: Date.parse(stamp), stamp, text, part: tag === 'P' };
}
