import type { Clock } from '../base/clock.ts';
import { MalformedAnswerError, StalledError } from './errors.ts';
import type { ApiAnswer } from './transport.ts';

/**
 * Yields the bytes of an answer as they arrive. Destroys the connection when the iteration ends for
 * any reason.
 *
 * @throws StalledError when no byte came for `stallMs`
 */
export async function* chunks(answer: ApiAnswer, clock: Clock, stallMs: number): AsyncGenerator<Buffer> {
	const { body } = answer;
	const stalled = (): void => {
		body.destroy(new StalledError(`No byte from the API server for ${Math.round(stallMs / 1000)} s`));
	};
	let cancel = clock.after(stallMs, stalled);
	try {
		for await (const chunk of body) {
			cancel();
			cancel = clock.after(stallMs, stalled);
			yield chunk as Buffer;
		}
	} finally {
		cancel();
		body.destroy();
	}
}

/** The lines of a byte stream, decoded from UTF-8, without empty ones. */
export async function* lines(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
	const pending: Buffer[] = [];
	for await (const chunk of stream) {
		let start = 0;
		for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
			pending.push(chunk.subarray(start, end));
			start = end + 1;
			const line = Buffer.concat(pending).toString('utf8');
			pending.length = 0;
			if (line !== '') yield line;
		}
		if (start < chunk.length) pending.push(chunk.subarray(start));
	}
	const rest = Buffer.concat(pending).toString('utf8');
	if (rest.trim() !== '')
		throw new MalformedAnswerError(`Stream ended inside an event of ${rest.length} characters`);
}

/** @throws MalformedAnswerError when the whole body is not one JSON value. */
export async function readJson(stream: AsyncIterable<Buffer>, what: string): Promise<unknown> {
	const parts: Buffer[] = [];
	for await (const chunk of stream) parts.push(chunk);
	return parseJson(Buffer.concat(parts).toString('utf8'), what);
}

export function parseJson(text: string, what: string): unknown {
	try {
		return JSON.parse(text);
	} catch (cause) {
		throw new MalformedAnswerError(`${what}: the answer is not JSON`, { cause });
	}
}
