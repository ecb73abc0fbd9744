import { text } from 'node:stream/consumers';
import { constants, createDeflate, createInflate } from 'node:zlib';
import { expect, test } from 'vitest';
import { SpdySession, type SpdyStream } from '../../standalone/api/http/spdy.ts';
import { spdyDictionary } from '../../standalone/api/http/spdy-dictionary.ts';

const dictionary = spdyDictionary();
const u32 = (value: number) => {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32BE(value);
	return bytes;
};
const frame = (first: number, flags: number, payload: Buffer) =>
	Buffer.concat([u32(first), u32(payload.length + flags * 0x1000000), payload]);
const control = (type: number, flags: number, payload: Buffer) => frame(0x80030000 + type, flags, payload);

/** The client end, with one compression context for all its headers. */
function client() {
	const deflate = createDeflate({ dictionary });
	const compress = (block: Buffer) =>
		new Promise<Buffer>((resolve) => {
			deflate.write(block);
			deflate.flush(constants.Z_SYNC_FLUSH, () => resolve(deflate.read()));
		});
	return async (id: number, headers: Record<string, string>, flags = 0) => {
		const pairs = Object.entries(headers).flat();
		const words = pairs.flatMap((word) => [u32(word.length), Buffer.from(word)]);
		const block = await compress(Buffer.concat([u32(pairs.length / 2), ...words]));
		return control(1, flags, Buffer.concat([u32(id), u32(0), Buffer.alloc(2), block]));
	};
}

test('the dictionary is that of SPDY/3: its check sum is in every header of the compressed text', () => {
	expect(dictionary).toHaveLength(1423);
	let [a, b] = [1, 0];
	for (const byte of dictionary) {
		a = (a + byte) % 65_521;
		b = (b + a) % 65_521;
	}
	expect((b * 65_536 + a).toString(16)).toBe('e3c6a7c2');
});

test('SpdySession gives streams with their headers and data, answers each, and ends them', async () => {
	const sent: Buffer[] = [];
	const streams: SpdyStream[] = [];
	const session = new SpdySession(
		(bytes, done) => {
			sent.push(bytes);
			done();
		},
		(stream) => streams.push(stream),
	);
	const syn = client();
	const bytes = Buffer.concat([
		await syn(1, { StreamType: 'error', Port: '80' }, 1),
		await syn(3, { StreamType: 'data', Port: '80', RequestID: '0' }),
		frame(3, 0, Buffer.from('hello ')),
		frame(3, 1, Buffer.from('there')),
		control(6, 0, u32(1)),
	]);
	for (const byte of bytes) session.receive(Buffer.of(byte));
	await expect.poll(() => sent.length).toBe(3);
	const [errors, data] = streams as [SpdyStream, SpdyStream];
	expect(Object.fromEntries(data.headers)).toEqual({ streamtype: 'data', port: '80', requestid: '0' });
	expect(await text(errors.data)).toBe('');
	expect(await text(data.data)).toBe('hello there');
	data.data.end('answer');
	await expect.poll(() => sent.length).toBe(5);
	const [reply, , ping, answer, end] = sent as [Buffer, Buffer, Buffer, Buffer, Buffer];
	expect(reply.subarray(0, 4).toString('hex')).toBe('80030002');
	const inflate = createInflate({ dictionary });
	inflate.write(reply.subarray(12));
	expect((await new Promise<Buffer>((resolve) => inflate.once('data', resolve))).toString('hex')).toBe(
		'00000000',
	);
	expect(ping).toEqual(control(6, 0, u32(1)));
	expect(answer).toEqual(frame(3, 0, Buffer.from('answer')));
	expect(end).toEqual(frame(3, 1, Buffer.alloc(0)));
	session.close();
	expect(errors.data.destroyed).toBe(true);
});
