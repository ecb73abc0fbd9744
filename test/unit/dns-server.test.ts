import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import packet from 'dns-packet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Listener } from '../../agent/dns/address.ts';
import { listen } from '../../agent/dns/listener.ts';
import { Resolver } from '../../agent/dns/resolver.ts';
import { DnsServer } from '../../agent/dns/server.ts';
import { Frames, framed } from '../../agent/dns/tcp.ts';
import { silent } from '../support/log.ts';
import { load, makeZone, queryOf, service, slice } from './dns-rig.ts';

const S = 'default.svc.cluster.local';
const many = Array.from({ length: 200 }, (_, i) => ({ ip: `10.244.1.${i + 1}` }));
const zone = load(makeZone(), [
	service('default/web', { clusterIPs: ['10.96.0.1'] }),
	service('default/many', { clusterIPs: ['None'] }),
	slice('default/many', many),
]);
const resolver = new Resolver({ zone, synced: () => true });

async function askUdp(message: Uint8Array, { host = '127.0.0.1', port = 0 }) {
	const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
	socket.connect(port, host);
	await once(socket, 'connect');
	socket.send(message);
	const [answer] = (await once(socket, 'message')) as [Buffer];
	socket.close();
	return packet.decode(answer);
}

/** Sends the pieces unchanged and waits for `count` answers. */
async function askTcp(pieces: readonly Uint8Array[], count: number, port: number) {
	const socket = net.connect(port, '127.0.0.1').setNoDelay();
	const frames = new Frames();
	const answers: Buffer[] = [];
	const done = new Promise<void>((resolve, reject) => {
		socket.on('close', () => reject(new Error('The server closed the connection')));
		socket.on('data', (chunk) => {
			answers.push(...frames.push(chunk));
			if (answers.length >= count) resolve();
		});
	});
	for (const piece of pieces) {
		socket.write(piece);
		await new Promise(setImmediate);
	}
	await done.finally(() => socket.destroy());
	return answers.map((answer) => packet.decode(answer));
}

describe('a listener', () => {
	let listener: Listener;
	beforeAll(async () => {
		listener = await listen({ host: '127.0.0.1', port: 0 }, resolver);
	});
	afterAll(() => listener.close());

	test('answers by UDP and by TCP at one port (D-11)', async () => {
		const query = queryOf(`web.${S}`, 'A');
		expect((await askUdp(query, listener)).answers).toMatchObject([{ data: '10.96.0.1' }]);
		const [said] = await askTcp([framed(query)], 1, listener.port);
		expect(said?.answers).toMatchObject([{ data: '10.96.0.1' }]);
	});

	test('what was cut by UDP is whole by TCP (D-11)', async () => {
		const query = queryOf(`many.${S}`, 'A', { edns: 1232 });
		expect((await askUdp(query, listener)).flag_tc).toBe(true);
		const [said] = await askTcp([framed(query)], 1, listener.port);
		expect(said).toMatchObject({ flag_tc: false });
		expect(said?.answers).toHaveLength(200);
	});

	test('takes many queries at once on one connection, and one in many pieces (RFC 7766)', async () => {
		const query = framed(queryOf(`web.${S}`, 'A'));
		expect(await askTcp([Buffer.concat([query, query, query])], 3, listener.port)).toHaveLength(3);
		const bytes = Array.from(query, (byte) => Buffer.of(byte));
		expect(await askTcp(bytes, 1, listener.port)).toHaveLength(1);
	});

	test('closes a connection on which something else than queries comes', async () => {
		const noise = framed(Buffer.from('GET'));
		await expect(askTcp([noise], 1, listener.port)).rejects.toThrow('closed');
	});

	test('answers by TCP while one client holds all connections', async () => {
		const held: net.Socket[] = [];
		try {
			for (let i = 0; i < 1_000; i++) {
				held.push(net.connect(listener.port, '127.0.0.1').on('error', () => {}));
				await once(held.at(-1)!.resume(), 'connect');
			}
			const closed = once(held[0]!, 'close', { signal: AbortSignal.timeout(5_000) });
			const [answer] = await askTcp([framed(queryOf(`web.${S}`, 'A'))], 1, listener.port);
			expect(answer!.rcode).toBe('NOERROR');
			await closed;
		} finally {
			for (const socket of held) socket.destroy();
		}
	});

	test('goes on after noise by UDP', async () => {
		const socket = dgram.createSocket('udp4');
		for (let length = 0; length < 64; length++)
			socket.send(Buffer.alloc(length, 0x55), listener.port, '127.0.0.1');
		expect((await askUdp(queryOf(`web.${S}`, 'A'), listener)).rcode).toBe('NOERROR');
		socket.close();
	});
});

describe('DnsServer', () => {
	test('serves the addresses that it is told, follows them, and ends', async () => {
		const told: string[][] = [];
		const server = new DnsServer({
			resolver,
			log: silent,
			after: () => () => {},
			changed: (addresses) => told.push(addresses.map(({ host }) => host)),
		});
		const [a, b] = [
			{ host: '127.0.0.1', port: 0 },
			{ host: '127.0.0.2', port: 0 },
		];
		await server.setAddresses([a, b]);
		const [first, second] = server.addresses;
		expect((await askUdp(queryOf(`web.${S}`, 'A'), second!)).rcode).toBe('NOERROR');
		await server.setAddresses([a]);
		expect(server.addresses).toEqual([first]);
		await server.close();
		expect(told).toEqual([['127.0.0.1', '127.0.0.2'], ['127.0.0.1'], []]);
	});

	test('an address that is taken is told once, and served as soon as it is free', async () => {
		const other = await listen({ host: '127.0.0.1', port: 0 }, resolver);
		const warnings: object[] = [];
		let again = (): void => {};
		const server = new DnsServer({
			resolver,
			log: { ...silent, warn: (fields) => warnings.push(fields) },
			after: (_ms, run) => {
				again = run;
				return () => {};
			},
			changed: () => {},
		});
		const address = { host: '127.0.0.1', port: other.port };
		await server.setAddresses([address]);
		await server.setAddresses([address]);
		expect(server.addresses).toEqual([]);
		expect(warnings).toMatchObject([{ address: `127.0.0.1:${other.port}`, flag: '--dns' }]);
		await other.close();
		again();
		await server.setAddresses([address]);
		expect(server.addresses).toEqual([address]);
		await server.close();
	});
});
