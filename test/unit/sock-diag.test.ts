import { describe, expect, it } from 'vitest';
import { destroyRequest, parseSocket, socketsRequest } from '../../agent/bpf/sock-diag.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
const TCP = 6;
const UDP = 17;

/**
 * struct inet_diag_msg from a kernel. `ss` showed 10.1.0.5:40000 -> 10.1.0.9:53, cookie
 * 0x1122334455667788.
 */
const V4 = hex(`
	02 01 00 00
	9c40 0035
	0a010005 00000000 00000000 00000000
	0a010009 00000000 00000000 00000000
	07000000
	88776655 44332211
	00000000 00000000 00000000 e8030000 39300000`);
const V6 = hex(`
	0a 01 00 00
	9c40 1f90
	fd000010 00000000 00000000 00000005
	fd000010 00000000 00000000 00000009
	00000000
	01000000 00000000
	00000000 00000000 00000000 e8030000 39300000`);

describe('socketsRequest()', () => {
	it('asks for the states in which a process waits for a peer with this port', () => {
		const id = `0000 1f90 ${'00'.repeat(44)}`;
		expect(socketsRequest(TCP, 6, 8080, 7)).toEqual(
			hex(`48000000 1400 0103 07000000 00000000  0a 06 00 00 36010000 ${id}`),
		);
		expect(socketsRequest(UDP, 4, 8080, 8)).toEqual(
			hex(`48000000 1400 0103 08000000 00000000  02 11 00 00 02000000 ${id}`),
		);
	});
});

describe('parseSocket()', () => {
	it('reads the peer as a map has it, whatever the family', () => {
		expect(parseSocket(V4)).toEqual({
			family: 4,
			peer: hex('00000000 00000000 0000ffff 0a010009'),
			peerPort: 53,
			cookie: 0x1122334455667788n,
			connecting: false,
			retries: 0,
			id: V4.slice(4, 52),
		});
		expect(parseSocket(V6)).toMatchObject({
			family: 6,
			peer: hex('fd000010 00000000 00000000 00000009'),
			peerPort: 8080,
			cookie: 1n,
		});
	});

	it.each([
		['data, sent again', 1, 1, { connecting: false, retries: 3 }],
		['keepalives', 1, 2, { connecting: false, retries: 3 }],
		['probes of a closed window', 1, 4, { connecting: false, retries: 3 }],
		['a SYN', 2, 1, { connecting: true, retries: 3 }],
		['no answer: nothing is under way', 1, 0, { connecting: false, retries: 0 }],
		['no answer: the end of TIME_WAIT', 6, 3, { connecting: false, retries: 0 }],
	])('tells how often TCP has tried, of %s', (_, state, timer, expected) => {
		const body = Uint8Array.from(V4);
		body.set([state, timer, 3], 1);
		expect(parseSocket(body)).toMatchObject(expected);
	});

	it.each([
		['another family', Uint8Array.from(V4, (byte, i) => (i === 0 ? 1 : byte))],
		['a truncated message', V4.subarray(0, 71)],
		['nothing', new Uint8Array()],
	])('gives undefined for %s', (_, body) => {
		expect(parseSocket(body)).toBeUndefined();
	});
});

describe('destroyRequest()', () => {
	it('names the socket with everything that the kernel said of it, its cookie included', () => {
		const socket = parseSocket(V4)!;
		const bytes = destroyRequest(UDP, socket, 9);
		expect(bytes.subarray(0, 24)).toEqual(hex('48000000 1500 0500 09000000 00000000  02 11 00 00 02000000'));
		expect(bytes.subarray(24)).toEqual(V4.subarray(4, 52));
	});
});
