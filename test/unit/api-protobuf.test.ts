import { describe, expect, test } from 'vitest';
import { decodeProtobuf } from '../../standalone/api/protobuf/decode.ts';

const varint = (value: number): Buffer =>
	value < 0x80
		? Buffer.from([value])
		: Buffer.concat([Buffer.from([(value & 0x7f) | 0x80]), varint(value >>> 7)]);
const bytes = (field: number, content: Buffer | string): Buffer => {
	const body = Buffer.from(content as string);
	return Buffer.concat([varint((field << 3) | 2), varint(body.length), body]);
};
const number = (field: number, value: number): Buffer => Buffer.concat([varint(field << 3), varint(value)]);
const all = (...parts: Buffer[]): Buffer => Buffer.concat(parts);

const envelope = (kind: string, raw: Buffer, apiVersion = 'v1'): Buffer =>
	all(
		Buffer.from('k8s\0'),
		bytes(1, all(bytes(1, apiVersion), bytes(2, kind))),
		bytes(2, raw),
		bytes(3, ''),
		bytes(4, ''),
	);
const entry = (key: string, value: string): Buffer => all(bytes(1, key), bytes(2, value));

describe('decodeProtobuf()', () => {
	test('a Service with what Go writes for unset fields', () => {
		const port = all(
			bytes(1, 'http'),
			bytes(2, 'TCP'),
			number(3, 80),
			bytes(4, all(number(1, 0), number(2, 8080), bytes(3, ''))),
			number(5, 0),
		);
		const named = all(number(3, 443), bytes(4, all(number(1, 1), number(2, 0), bytes(3, 'tls'))));
		const spec = all(
			bytes(1, port),
			bytes(1, named),
			bytes(2, entry('app', 'web')),
			bytes(3, ''),
			number(12, 0),
			number(13, 0),
		);
		const metadata = all(
			bytes(1, 'web'),
			bytes(8, ''),
			bytes(11, entry('a', 'b')),
			bytes(11, entry('c', '')),
		);
		expect(
			decodeProtobuf(envelope('Service', all(bytes(1, metadata), bytes(2, spec), bytes(3, 'x')))),
		).toEqual({
			apiVersion: 'v1',
			kind: 'Service',
			metadata: { name: 'web', labels: { a: 'b', c: '' } },
			spec: {
				ports: [
					{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 },
					{ port: 443, targetPort: 'tls' },
				],
				selector: { app: 'web' },
			},
		});
	});

	test('zero of a pointer means zero, and data is base64', () => {
		const deployment = envelope('Deployment', bytes(2, number(1, 0)), 'apps/v1');
		expect(decodeProtobuf(deployment)).toEqual({
			apiVersion: 'apps/v1',
			kind: 'Deployment',
			spec: { replicas: 0 },
		});
		expect(decodeProtobuf(envelope('Secret', bytes(2, entry('k', 'v'))))).toMatchObject({
			data: { k: 'dg==' },
		});
	});

	test('a review of a user with extras, as a delegated authorizer sends it', () => {
		const attributes = all(bytes(2, 'get'), bytes(5, 'pods'));
		const extra = (key: string, ...items: string[]) =>
			bytes(5, all(bytes(1, key), bytes(2, all(...items.map((item) => bytes(1, item))))));
		const spec = all(
			bytes(1, attributes),
			bytes(3, 'a'),
			bytes(4, 'g'),
			extra('x', '1', '2'),
			extra('y'),
			bytes(6, 'u'),
		);
		const review = envelope('SubjectAccessReview', bytes(2, spec), 'authorization.k8s.io/v1');
		expect(decodeProtobuf(review)['spec']).toEqual({
			resourceAttributes: { verb: 'get', resource: 'pods' },
			user: 'a',
			groups: ['g'],
			extra: { x: ['1', '2'], y: [] },
			uid: 'u',
		});
	});

	test.each([
		['no prefix', Buffer.from('{}'), 400],
		['a cut field', envelope('Service', bytes(2, 'xyz')).subarray(0, 20), 400],
		['a cut varint', envelope('Service', Buffer.from([0x80])), 400],
		['a group', envelope('Service', Buffer.from([0x0b])), 400],
		['another kind', envelope('Pod', Buffer.alloc(0)), 415],
		['an unknown field with a value', envelope('Service', bytes(2, bytes(99, 'x'))), 415],
	])('%s is refused with %s', (_name, body, code) => {
		expect(() => decodeProtobuf(body)).toThrow(expect.objectContaining({ code }));
	});

	test('an unknown field without a value is ignored', () => {
		expect(decodeProtobuf(envelope('Service', bytes(2, all(bytes(99, ''), number(98, 0)))))).toMatchObject({
			spec: {},
		});
	});
});
