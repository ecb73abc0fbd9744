/**
 * Tests an agent beside other programs on one device, and the device entries that it writes for its
 * programs.
 */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DEVICE_MACS, deviceMacCodec } from '../../agent/abi/layout.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { openPinnedMap } from '../../agent/bpf/kernel-map.ts';
import { attachTcx, attachXdp } from '../../agent/bpf/link.ts';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { BpfObject } from '../../agent/bpf/object.ts';
import { programName, tcxPrograms } from '../../agent/bpf/others.ts';
import { compile, workspace } from './binding-setup.ts';
import { TestNode } from './dataplane-node.ts';

const native = openNative('koffi');
const work = workspace('devices');
let others: BpfObject;
beforeAll(() => {
	others = BpfObject.open(native, compile('hooks.bpf.c', work.folder));
	others.load();
});
afterAll(() => {
	others.close();
	work.remove();
});

/** Attaches a foreign program to eth0 of the node, by a link that lives until it is closed. */
function within<T>(action: (ifindex: number) => T): T {
	using switcher = new NetnsSwitcher();
	return switcher.within(node.node, () => action(node.index('eth0')));
}

let node: TestNode;
beforeEach(() => {
	node = new TestNode('mld-dd');
});
afterEach(async () => {
	await node.stop();
	node.remove();
});

describe('the address of a device with XDP', () => {
	const known = () => {
		using map = openPinnedMap(native, join(node.pins, 'device_macs'))!;
		const ifindex = node.index('eth0');
		const value = map.lookup(new Uint8Array(Uint32Array.of(ifindex % DEVICE_MACS).buffer))!;
		const { mac, ...rest } = deviceMacCodec.decode(value);
		return { ...rest, mac: Buffer.from(mac).toString('hex') };
	};

	it('is told to its program, also when it changes', async () => {
		const ifindex = node.index('eth0');
		node.ip(node.node, 'link set eth0 address 02:00:00:00:00:77');
		await node.open({ xdp: 'native' });
		expect(known()).toEqual({ ifindex, mac: '020000000077' });
		node.ip(node.node, 'link set eth0 address 02:00:00:00:00:78');
		await expect.poll(known).toEqual({ ifindex, mac: '020000000078' });
	});

	it('is not asked for where there is no XDP', async () => {
		await node.open({ xdp: 'off' });
		expect(known()).toEqual({ ifindex: 0, mac: '000000000000' });
	});
});

describe('a device with an MTU of more than a page', () => {
	it('has native XDP', async () => {
		node.ip(node.node, 'link set eth0 mtu 9000');
		node.ip(node.peer, 'link set up0 mtu 9000');
		const { status } = await node.open({ xdp: 'native' });
		expect(status.degradations).toEqual([]);
		expect(status.attachments).toContainEqual({ program: 'ml_xdp', target: 'eth0', mode: 'native' });
	});
});

describe('a device without a link layer', () => {
	const idsOf = (dev: string) =>
		within(() => tcxPrograms(native, { ifindex: node.index(dev), direction: 'ingress' }));

	it('is served by programs of its own, also when it comes later, and has no XDP', async () => {
		const { agent } = await node.open({ xdp: 'native' });
		node.in(node.node, 'ip', 'tuntap', 'add', 'dev', 'tun0', 'mode', 'tun');
		node.ip(node.node, 'link set tun0 up');
		node.ip(node.node, 'route add default dev tun0 metric 9');
		const both = { program: 'ml_from_netdev', target: 'tun0', mode: 'tcx' };
		await expect
			.poll(async () => (await agent.status()).attachments, { timeout: 20_000 })
			.toContainEqual(both);
		const status = await agent.status();
		expect(status).toMatchObject({ uplinks: ['eth0', 'tun0'], degradations: [] });
		expect(status.attachments).not.toContainEqual(
			expect.objectContaining({ program: 'ml_xdp', target: 'tun0' }),
		);
		expect(idsOf('tun0')).toHaveLength(1);
		expect(idsOf('tun0')).not.toEqual(idsOf('eth0'));
		await agent.end();
		const again = await node.open({ xdp: 'native' });
		expect(again.status.attachments).toContainEqual(both);
	});
});

describe('programs of others on the device', () => {
	type Side = 'ingress' | 'egress';
	const SIDES = [
		{ side: 'ingress', ours: 'ml_from_netdev' },
		{ side: 'egress', ours: 'ml_to_netdev' },
	] as const;
	const put = (side: Side, name = 'variables') =>
		within((ifindex) => attachTcx(native, others.program(name), ifindex, side));
	const chain = (direction: Side): string[] =>
		within((ifindex) => tcxPrograms(native, { ifindex, direction })).map((id) =>
			programName(native, id).replace(/ .*/, ''),
		);

	it.each(SIDES)('goes before those that are there at the start ($side)', async ({ side, ours }) => {
		using _other = put(side);
		const { status } = await node.open();
		expect(chain(side)).toEqual([ours, 'variables']);
		expect(status.degradations).toEqual([]);
		expect(status.attachments).toContainEqual({ program: ours, target: 'eth0', mode: 'tcx' });
	});

	it.each(SIDES)('is put first again when another comes before it ($side)', async ({ side, ours }) => {
		await node.open();
		using _other = put(side);
		expect(chain(side)).toEqual(['variables', ours]);
		await expect.poll(() => chain(side), { timeout: 10_000 }).toEqual([ours, 'variables']);
	});

	it('gives up when another does the same, and says so', async () => {
		const { agent } = await node.open();
		for (let i = 0; i < 3; i++) {
			using _other = put('ingress');
			node.ip(node.node, `link set eth0 alias try${i}`);
			await expect.poll(() => chain('ingress')[0], { timeout: 10_000 }).toBe('ml_from_netdev');
		}
		{
			using _other = put('ingress');
			node.ip(node.node, 'link set eth0 alias last');
			const behind = [expect.stringMatching(/^variables \(id \d+\)$/)];
			const first = { program: 'ml_from_netdev', target: 'eth0', mode: 'tcx' };
			await expect
				.poll(async () => (await agent.status()).attachments, { timeout: 10_000 })
				.toContainEqual({ ...first, behind });
			expect((await agent.status()).degradations).toEqual([
				expect.stringMatching(/^variables \(id \d+\) on eth0 sees packets before ml_from_netdev/),
			]);
			expect(chain('ingress')).toEqual(['variables', 'ml_from_netdev']);
		}
		// and it is first again after the other program is gone
		node.ip(node.node, 'link set eth0 alias none');
		await expect.poll(async () => (await agent.status()).degradations, { timeout: 10_000 }).toEqual([]);
	});

	it('names a filter at its priority, of its kind and of another', async () => {
		const filter = (...rest: string[]) =>
			node.in(node.node, 'tc', 'filter', 'add', 'dev', 'eth0', 'ingress', 'prio', '1', ...rest);
		const { agent } = await node.open({ tc: 'clsact' });
		expect((await agent.status()).degradations).toEqual([]);
		node.in(node.node, 'tc', 'qdisc', 'replace', 'dev', 'eth0', 'clsact');
		const { folder } = work;
		filter('handle', '7', 'bpf', 'da', 'obj', join(folder, 'hooks.bpf.o'), 'sec', 'tc');
		node.ip(node.node, 'link set eth0 alias look');
		await expect
			.poll(async () => (await agent.status()).degradations, { timeout: 10_000 })
			.toEqual([expect.stringMatching(/^bpf .* at priority 1 on eth0 sees packets before ml_from_netdev/)]);
		await agent.end();
		node.in(node.node, 'tc', 'qdisc', 'del', 'dev', 'eth0', 'clsact');
		node.in(node.node, 'tc', 'qdisc', 'add', 'dev', 'eth0', 'clsact');
		filter('u32', 'match', 'u32', '0', '0');
		const { status } = await node.open({ tc: 'clsact' });
		expect(status.degradations.join()).toMatch(/on eth0; u32 at priority 1 of others is there and stays/);
		expect(node.in(node.node, 'tc', 'filter', 'show', 'dev', 'eth0', 'ingress')).toContain('u32');
	});

	it('leaves an XDP program of another where it is, says which, and follows when it has gone', async () => {
		const other = within((ifindex) => attachXdp(native, others.program('pass'), ifindex, 'native'));
		const { agent, status } = await node.open({ xdp: 'native' });
		expect(status.degradations).toEqual([
			expect.stringMatching(/on eth0; pass \(id \d+\) of others is there and stays; TC does its work/),
		]);
		expect(other.state().ifindex).toBe(node.index('eth0'));
		other.close();
		await expect
			.poll(async () => (await agent.status()).attachments, { timeout: 10_000 })
			.toContainEqual({ program: 'ml_xdp', target: 'eth0', mode: 'native' });
		expect((await agent.status()).degradations).toEqual([]);
	});
});
