import type { IncomingMessage } from 'node:http';
import { parse as parseYaml } from 'yaml';
import { ApiError, badRequest, unsupportedMediaType } from '../errors.ts';
import { decodeProtobuf, PROTOBUF } from '../protobuf/decode.ts';

/** kube-apiserver's limit, in bytes. */
const LIMIT = 3 * 1024 * 1024;

/** Reads the whole body. @throws ApiError 413. */
export async function readBytes(request: IncomingMessage): Promise<Buffer> {
	const chunks: Buffer[] = [];
	let size = 0;
	for await (const chunk of request as AsyncIterable<Buffer>) {
		size += chunk.length;
		if (size > LIMIT)
			throw new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${LIMIT}`, {});
		chunks.push(chunk);
	}
	return Buffer.concat(chunks);
}

/** Reads the body as text. @throws ApiError 413. */
export const readBody = async (request: IncomingMessage): Promise<string> =>
	(await readBytes(request)).toString('utf8');

/** The media type without parameters: `application/json` for `Application/JSON; charset=utf-8`. */
export const mediaType = (request: IncomingMessage): string =>
	(request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();

export function parseJson(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch (error) {
		throw badRequest(
			`the object provided is unrecognized (must be of type JSON): ${(error as Error).message}`,
		);
	}
}

/** Parses a JSON, YAML or protobuf object. @throws ApiError 400, 415. */
export function parseObject(body: Buffer, type: string): unknown {
	if (type === PROTOBUF) return decodeProtobuf(body);
	const text = body.toString('utf8');
	if (type === 'application/json') return parseJson(text);
	if (type !== 'application/yaml')
		throw unsupportedMediaType(['application/json', 'application/yaml', PROTOBUF]);
	try {
		return parseYaml(text);
	} catch (error) {
		throw badRequest(`error converting YAML to JSON: ${(error as Error).message}`);
	}
}
