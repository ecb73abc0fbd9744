import { badRequest, unsupportedMediaType } from '../errors.ts';
import { MESSAGES } from './messages.ts';

type Json = Record<string, unknown>;

/** The media type of a protobuf runtime.Unknown. */
export const PROTOBUF = 'application/vnd.kubernetes.protobuf';

const MAGIC = Buffer.from('k8s\0', 'latin1');
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5];

interface Wire {
	field: number;
	/** A number for a varint, else bytes. */
	value: number | Buffer;
}

/** Iterates over the fields of a message. @throws ApiError 400 if the message is truncated. */
function* fieldsOf(bytes: Buffer): Generator<Wire> {
	let at = 0;
	const varint = (): number => {
		let value = 0n;
		for (let shift = 0n; ; shift += 7n) {
			const byte = bytes[at++];
			if (byte === undefined || shift > 63n) throw badRequest('protobuf: unexpected end of a varint');
			value |= BigInt(byte & 0x7f) << shift;
			if (byte < 0x80) return Number(BigInt.asIntN(64, value));
		}
	};
	const take = (length: number): Buffer => {
		if (length < 0 || at + length > bytes.length) throw badRequest('protobuf: unexpected end of a field');
		at += length;
		return bytes.subarray(at - length, at);
	};
	while (at < bytes.length) {
		const tag = varint();
		const [field, wire] = [tag >>> 3, tag & 7];
		if (wire === VARINT) yield { field, value: varint() };
		else if (wire === BYTES) yield { field, value: take(varint()) };
		else if (wire === FIXED64 || wire === FIXED32) yield { field, value: take(wire === FIXED64 ? 8 : 4) };
		else throw badRequest(`protobuf: wire type ${wire} is not supported`);
	}
}

const bytesOf = (value: number | Buffer): Buffer => {
	if (typeof value === 'number') throw badRequest('protobuf: a number where bytes are expected');
	return value;
};

/** Decoders of map values, by map type. */
const MAP_VALUES: Readonly<Record<string, (bytes: Buffer) => unknown>> = {
	map: (bytes) => bytes.toString('utf8'),
	bytesMap: (bytes) => bytes.toString('base64'),
	listMap: (bytes) => [...fieldsOf(bytes)].map(({ value }) => bytesOf(value).toString('utf8')),
};

function mapEntry(bytes: Buffer, read: (bytes: Buffer) => unknown): [key: string, value: unknown] {
	const parts = new Map([...fieldsOf(bytes)].map(({ field, value }) => [field, bytesOf(value)]));
	return [parts.get(1)?.toString('utf8') ?? '', read(parts.get(2) ?? Buffer.alloc(0))];
}

function time(bytes: Buffer): string | undefined {
	const seconds = [...fieldsOf(bytes)].find(({ field }) => field === 1)?.value;
	if (typeof seconds !== 'number') return undefined;
	return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

/** An unset port arrives as the number 0. */
function intOrString(bytes: Buffer): number | string | undefined {
	const parts = new Map([...fieldsOf(bytes)].map(({ field, value }) => [field, value]));
	if (parts.get(1) === 1) return bytesOf(parts.get(3) ?? Buffer.alloc(0)).toString('utf8');
	return (parts.get(2) as number | undefined) ?? 0;
}

/** @returns undefined for values that JSON omits. */
function decodeValue(type: string, pointer: boolean, value: number | Buffer): unknown {
	switch (type) {
		case 'string':
			return bytesOf(value).toString('utf8');
		case 'int':
			return value !== 0 || pointer ? value : undefined;
		case 'bool':
			return value !== 0 || pointer ? value === 1 : undefined;
		case 'time':
			return time(bytesOf(value));
		case 'intOrString':
			return intOrString(bytesOf(value));
		case 'skip':
			return undefined;
		default:
			return decodeMessage(type, bytesOf(value));
	}
}

function decodeMessage(name: string, bytes: Buffer): Json {
	const message = MESSAGES[name]!;
	const result: Json = {};
	for (const { field, value } of fieldsOf(bytes)) {
		const [property, declared] = message[field] ?? [];
		// Go also writes the zero values of plain fields; ignore them
		const empty = typeof value === 'number' ? value === 0 : value.length === 0;
		if (!property && empty) continue;
		if (!property || !declared)
			throw unsupportedMediaType(
				[],
				`protobuf field ${field} of ${name} is not supported; send ${name} as JSON`,
			);
		const type = declared.replace(/[[\]?]/g, '');
		if (Object.hasOwn(MAP_VALUES, type)) {
			const [key, entry] = mapEntry(bytesOf(value), MAP_VALUES[type]!);
			result[property] = { ...(result[property] as Json | undefined), [key]: entry };
			continue;
		}
		const decoded = decodeValue(type, declared.endsWith('?'), value);
		if (decoded === undefined) continue;
		if (declared.endsWith('[]'))
			result[property] = [...((result[property] as unknown[] | undefined) ?? []), decoded];
		else if (decoded !== '') result[property] = decoded;
	}
	return result;
}

/**
 * Converts a protobuf body (`k8s\0` and a runtime.Unknown) to the equivalent JSON object.
 * @throws ApiError 400 (malformed), 415 (a message or field that this server does not know).
 */
export function decodeProtobuf(body: Buffer): Json {
	if (!body.subarray(0, MAGIC.length).equals(MAGIC)) throw badRequest('protobuf: the body has no k8s prefix');
	let [apiVersion, kind] = ['', ''];
	let raw: Buffer = Buffer.alloc(0);
	for (const { field, value } of fieldsOf(body.subarray(MAGIC.length))) {
		if (field === 1) {
			for (const part of fieldsOf(bytesOf(value))) {
				if (part.field === 1) apiVersion = bytesOf(part.value).toString('utf8');
				else kind = bytesOf(part.value).toString('utf8');
			}
		} else if (field === 2) raw = bytesOf(value);
	}
	if (!Object.hasOwn(MESSAGES, kind))
		throw unsupportedMediaType([], `protobuf is not supported for ${kind}; send it as application/json`);
	return { apiVersion, kind, ...decodeMessage(kind, raw) };
}
