import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import packet from 'dns-packet';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ListenAddress } from '../../agent/dns/address.ts';
import { lifetime } from '../../agent/dns/cache.ts';
import { Forwarder } from '../../agent/dns/forwarder.ts';
import { resolvConfServers } from '../../agent/dns/resolv-conf.ts';
import { Frames, framed } from '../../agent/dns/tcp.ts';
import { asker, dataText, load, makeZone, service } from './dns-rig.ts';

const S = 'default.svc.cluster.local';
const SOA = {
	type: 'SOA',
	name: 'test',
	ttl: 60,
	data: { mname: 'ns.test', rname: 'root.test', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 30 },
};
const OPT = { type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [] };
const RCODES = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 };

/** An upstream name server with configurable answers. */
class Upstream implements AsyncDisposable {
	#udp = dgram.createSocket('udp4');
	readonly #tcp = net.createServer();
	asked: string[] = [];
	say: (name: string, transport: string) => object | undefined = () => undefined;

	async open(): Promise<ListenAddress> {
		const port = await this.#bind();
		this.#udp.on('message', (message, { port, address }) => {
			const answer = this.#answer(message, 'udp');
			if (answer) this.#udp.send(answer, port, address);
		});
		this.#tcp.on('connection', (socket) => {
			const frames = new Frames();
			socket.on('data', (chunk) => {
				for (const message of frames.push(chunk)) socket.end(framed(this.#answer(message, 'tcp')!));
			});
		});
		return { host: '127.0.0.1', port };
	}

	/** Another process may use the TCP port of a free UDP port, so try again. */
	async #bind(): Promise<number> {
		for (;;) {
			this.#udp.bind(0, '127.0.0.1');
			await once(this.#udp, 'listening');
			const { port } = this.#udp.address();
			this.#tcp.listen(port, '127.0.0.1');
			const free = await once(this.#tcp, 'listening').then(
				() => true,
				() => false,
			);
			if (free) return port;
			this.#udp.close();
			this.#udp = dgram.createSocket('udp4');
		}
	}

	#answer(message: Buffer, transport: string): Buffer | undefined {
		const { id, questions } = packet.decode(message);
		const name = questions[0]!.name;
		this.asked.push(`${name} ${transport}`);
		const said = this.say(name, transport) as { flags?: number; rcode?: keyof typeof RCODES } | undefined;
		if (!said) return undefined;
		const flags = (said.flags ?? 0x180) | RCODES[said.rcode ?? 'NOERROR'];
		return packet.encode({ type: 'response', id, questions, ...said, additionals: [OPT], flags });
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#udp.close();
		this.#tcp.close();
	}
}

const one = new Upstream();
const two = new Upstream();
let servers: ListenAddress[];
let all: ListenAddress[];
let now = 0;
const seen: string[] = [];
const forward = () =>
	new Forwarder({ servers: () => servers, now: () => now, tryMs: 100, observe: (what) => seen.push(what) });
const zone = load(makeZone([]), [
	service('default/away', { type: 'ExternalName', externalName: 'web.test' }),
	service('default/loop', { clusterIPs: ['10.96.0.1'] }),
]);
const ask = () => asker(zone, { recursion: forward() });
const address = (name: string, ttl = 60) => ({ answers: [{ type: 'A', name, ttl, data: '192.0.2.1' }] });

beforeAll(async () => {
	all = [await one.open(), await two.open()];
});
afterAll(async () => {
	await one[Symbol.asyncDispose]();
	await two[Symbol.asyncDispose]();
});
beforeEach(() => {
	servers = all;
	seen.length = 0;
	for (const upstream of [one, two]) {
		upstream.asked = [];
		upstream.say = (name) => address(name);
	}
});

describe('names of others (D R-5)', () => {
	test('are asked for elsewhere, and the answer comes in the spelling and with the id of the query', async () => {
		const said = await ask()('Web.TEST', 'A', { edns: 1232 });
		expect(said).toMatchObject({
			id: 4711,
			rcode: 'NOERROR',
			flag_aa: false,
			flag_ra: true,
			texts: ['192.0.2.1'],
		});
		expect(said.questions).toMatchObject([{ name: 'Web.TEST' }]);
		expect(said.additionals).toMatchObject([{ type: 'OPT', udpPayloadSize: 1232 }]);
		expect((await ask()('web.test', 'A')).additionals).toEqual([]);
	});

	test('are kept for as long as they may be, with what is left of that time', async () => {
		const client = ask();
		now = 0;
		await client('web.test', 'A');
		now = 20_000;
		expect((await client('WEB.test', 'A')).answers).toMatchObject([{ ttl: 40 }]);
		now = 60_000;
		await client('web.test', 'A');
		expect(one.asked).toHaveLength(2);
		expect(seen).toEqual(['miss', 'hit', 'miss']);
	});

	test('that do not exist are kept as their SOA says (RFC 2308)', async () => {
		one.say = () => ({ rcode: 'NXDOMAIN', authorities: [SOA] });
		const client = ask();
		now = 0;
		expect(await client('no.test', 'A')).toMatchObject({ rcode: 'NXDOMAIN', authorities: [{ type: 'SOA' }] });
		now = 29_000;
		expect((await client('no.test', 'A')).authorities).toMatchObject([{ ttl: 31 }]);
		now = 30_000;
		await client('no.test', 'A');
		expect(one.asked).toHaveLength(2);
	});

	test('are asked for once while many wait', async () => {
		const client = ask();
		await Promise.all(Array.from({ length: 20 }, () => client('web.test', 'A')));
		expect(one.asked).toHaveLength(1);
	});

	test('whose answer was cut are asked for by TCP; a client by UDP is told to do the same', async () => {
		const answers = Array.from({ length: 100 }, (_, i) => ({
			type: 'A',
			name: 'big.test',
			ttl: 60,
			data: `192.0.2.${i}`,
		}));
		one.say = (_name, transport) => (transport === 'udp' ? { flags: 0x380 } : { answers });
		const client = ask();
		expect(await client('big.test', 'A')).toMatchObject({ flag_tc: true, answers: [] });
		expect((await client('big.test', 'A', { transport: 'tcp' })).answers).toHaveLength(100);
		expect(one.asked).toEqual(['big.test udp', 'big.test tcp']);
	});

	test('are asked of the next server when one is silent, gone or of no help, and of that one first then', async () => {
		for (const say of [() => undefined, () => ({ rcode: 'SERVFAIL' }), () => ({ rcode: 'REFUSED' })]) {
			one.say = say;
			const client = ask();
			expect((await client('web.test', 'A')).texts).toEqual(['192.0.2.1']);
			one.asked = [];
			await client('other.test', 'A');
			expect(one.asked).toEqual([]);
		}
		servers = [{ host: '127.0.0.1', port: 1 }, all[1]!];
		expect((await ask()('web.test', 'A')).texts).toEqual(['192.0.2.1']);
	});

	test('get SERVFAIL when nobody answers, and what the servers say when none helps', async () => {
		one.say = () => ({ rcode: 'REFUSED' });
		servers = [all[0]!];
		expect(await ask()('web.test', 'A')).toMatchObject({ rcode: 'REFUSED' });
		servers = [];
		expect(await ask()('web.test', 'A')).toMatchObject({ rcode: 'SERVFAIL', flag_tc: false });
		expect(seen).toEqual(['miss', 'miss', 'failed']);
	});

	test('are not asked for when the client does not want it, nor are ours ever', async () => {
		const client = ask();
		expect(await client('web.test', 'A', { recursion: false })).toMatchObject({ rcode: 'REFUSED' });
		await client(`loop.${S}`, 'A');
		await client(`missing.${S}`, 'A');
		expect(one.asked).toEqual([]);
	});
});

describe('an ExternalName Service (D R-4)', () => {
	test('has the addresses of the name that it leads to beside its alias', async () => {
		one.say = () => ({
			answers: [
				{ type: 'CNAME', name: 'web.test', ttl: 7, data: 'Edge.test' },
				{ type: 'A', name: 'Edge.test', ttl: 9, data: '192.0.2.9' },
			],
		});
		const said = await ask()(`away.${S}`, 'A');
		expect(said.answers.map(({ name, ttl, ...record }) => [name, ttl, dataText(record as never)])).toEqual([
			[`away.${S}`, 5, 'web.test.'],
			['web.test', 7, 'edge.test.'],
			['edge.test', 9, '192.0.2.9'],
		]);
	});

	test('whose name nobody knows is an alias that leads nowhere', async () => {
		servers = [];
		expect(await ask()(`away.${S}`, 'A')).toMatchObject({ rcode: 'SERVFAIL', texts: ['web.test.'] });
		expect(await ask()(`away.${S}`, 'CNAME')).toMatchObject({ rcode: 'NOERROR', texts: ['web.test.'] });
	});
});

describe('lifetime()', () => {
	const message = (more: object) =>
		packet.encode({ type: 'response', id: 1, flags: 0x180, questions: [{ type: 'A', name: 'a' }], ...more });
	test.each([
		['the least of the times', address('a', 50), 50],
		['an hour at most', address('a', 100_000), 3600],
		[
			'0 for an impossible time',
			{ answers: [{ type: 'A', name: 'a', ttl: 0x8000_0001, data: '1.2.3.4' }] },
			0,
		],
		['a negative answer: the SOA minimum', { authorities: [SOA] }, 30],
		['0 without a SOA', {}, 0],
		['0 for a failure', { ...address('a'), flags: 0x182 }, 0],
		['0 for what was cut', { ...address('a'), flags: 0x380 }, 0],
	])('is %s', (_what, said, seconds) => expect(lifetime(message(said))).toBe(seconds));

	test('is 0 for what cannot be read', () => {
		const whole = message(address('a'));
		for (let length = 12; length < whole.length; length++)
			expect(lifetime(whole.subarray(0, length))).toBe(0);
	});
});

test('resolvConfServers() reads the first three addresses', () => {
	const text =
		'# a\nsearch x\nnameserver 192.0.2.1\n nameserver fd00::1 # b\nnameserver name\nnameserver 192.0.2.4\n';
	expect(resolvConfServers(text)).toEqual([
		{ host: '192.0.2.1', port: 53 },
		{ host: 'fd00::1', port: 53 },
	]);
});
