import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AgentAnswer, createAgentWatch } from '../../standalone/lb/agent-watch.ts';
import { chooseNode } from '../../standalone/lb/choose.ts';
import { announcement, parseMac } from '../../standalone/lb/frames.ts';
import { ManualClock } from './controller-cluster.ts';

const NODES = ['node1', 'node2', 'node3', 'node4'];
const all = (healthy: (node: string) => boolean = () => true) =>
	NODES.map((name) => ({ name, healthy: healthy(name) }));
const addresses = Array.from({ length: 200 }, (_, i) => `192.168.10.${i}`);

describe('chooseNode()', () => {
	it('is one node, whatever the order of the candidates', () => {
		fc.assert(
			fc.property(fc.ipV4(), fc.shuffledSubarray(NODES, { minLength: 1 }), (address, names) => {
				const chosen = chooseNode(
					address,
					names.map((name) => ({ name, healthy: true })),
				);
				const sorted = names.toSorted().map((name) => ({ name, healthy: true }));
				expect(names).toContain(chosen);
				expect(chooseNode(address, sorted)).toBe(chosen);
			}),
		);
		expect(chooseNode('192.168.10.200', [])).toBeUndefined();
	});

	it('moves the addresses of a node that is not well, and no others', () => {
		for (const gone of NODES)
			for (const address of addresses) {
				const before = chooseNode(address, all());
				const after = chooseNode(
					address,
					all((node) => node !== gone),
				);
				if (before === gone) expect(after).not.toBe(gone);
				else expect(after).toBe(before);
			}
	});

	it('spreads addresses over the nodes', () => {
		const counts = Map.groupBy(addresses, (address) => chooseNode(address, all()));
		for (const node of NODES) expect(counts.get(node)!.length).toBeGreaterThan(addresses.length / 8);
	});

	it('leaves an address where it is when no node is well: packet programs need no agent', () => {
		for (const address of addresses)
			expect(
				chooseNode(
					address,
					all(() => false),
				),
			).toBe(chooseNode(address, all()));
	});
});

describe('announcement()', () => {
	const mac = parseMac('02:42:ac:11:00:02');
	const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

	it('is a gratuitous ARP request for IPv4 (RFC 5227)', () => {
		expect(hex(announcement('192.168.10.200', mac))).toBe(
			'ffffffffffff0242ac1100020806' + '0001080006040001' + '0242ac110002c0a80ac8' + '000000000000c0a80ac8',
		);
	});

	it('is an unsolicited neighbour advertisement to all nodes for IPv6 (RFC 4861)', () => {
		const frame = announcement('fd00:10::200', mac);
		const source = 'fd000010000000000000000000000200';
		const target = 'ff020000000000000000000000000001';
		expect(hex(frame).slice(0, 108)).toBe(`3333000000010242ac11000286dd6000000000203aff${source}${target}`);
		const icmp = frame.subarray(54);
		expect(hex(icmp).replace(/^8800..../, '8800')).toBe(`880020000000${source}02010242ac110002`);
		// RFC 1071: including the checksum, the sum is all ones
		const summed = Buffer.from(`${source}${target}000000200000003a${hex(icmp)}`, 'hex');
		let sum = 0;
		for (let at = 0; at < summed.length; at += 2) sum += summed.readUInt16BE(at);
		while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
		expect(sum).toBe(0xffff);
	});

	it('refuses what is no MAC address', () => {
		expect(() => parseMac('02:42')).toThrow('Cannot read the MAC 02:42');
	});
});

describe('createAgentWatch()', () => {
	function rig() {
		const clock = new ManualClock();
		const answers = new Map<string, AgentAnswer>([
			['node1', 'well'],
			['node2', 'well'],
		]);
		let asked = 0;
		const ask = async (node: string) => {
			asked++;
			return answers.get(node)!;
		};
		const health = createAgentWatch({
			nodes: [...answers.keys()],
			ask,
			clock,
			signal: new AbortController().signal,
		});
		const changes: string[] = [];
		health.subscribe(() => changes.push([...answers.keys()].filter(health.healthy).join()));
		const rounds = async (count: number) => {
			for (let i = 0; i < count; i++) {
				await new Promise(setImmediate);
				clock.advance(1000);
			}
			await new Promise(setImmediate);
		};
		return { health, answers, changes, rounds, asked: () => asked };
	}

	it.each([
		['gone', 3],
		['ill', 8],
	] as const)(
		'takes a node for ill that is %s in %i answers in a row, for well after two good ones',
		async (answer, needed) => {
			const { health, answers, changes, rounds, asked } = rig();
			answers.set('node2', answer);
			health.watch(true);
			while (asked() < needed * 2 - 2) await rounds(1);
			expect(health.healthy('node2')).toBe(true);
			await rounds(1);
			expect(changes).toEqual(['node1']);
			answers.set('node2', 'well');
			await rounds(1);
			expect(health.healthy('node2')).toBe(false);
			await rounds(1);
			expect(changes).toEqual(['node1', 'node1,node2']);
		},
	);

	it('overlooks the restart of an agent', async () => {
		const { health, answers, changes, rounds } = rig();
		health.watch(true);
		for (let i = 0; i < 5; i++) {
			answers.set('node1', 'ill');
			await rounds(6);
			answers.set('node1', 'well');
			await rounds(1);
		}
		expect(changes).toEqual([]);
	});

	it('asks nobody while nothing depends on it', async () => {
		const { health, rounds, asked } = rig();
		await rounds(3);
		expect(asked()).toBe(0);
		health.watch(true);
		await rounds(3);
		const before = asked();
		expect(before).toBe(8);
		health.watch(false);
		await rounds(3);
		expect(asked()).toBe(before);
	});
});
