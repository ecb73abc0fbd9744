import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FfiName } from '../../agent/bpf/ffi/library.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { Netlink } from '../../agent/bpf/netlink.ts';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';

const NODE = 'mld-nl-node';
const OTHER = 'mld-nl-other';

const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' });
const inNode = (line: string) => ip('-n', NODE, ...line.split(' '));

/** Fields of a link in the output of `ip -j`. */
interface IpLink {
	ifindex: number;
	ifname: string;
	mtu: number;
	address: string;
	master?: string;
	linkinfo?: { info_kind?: string };
	flags: string[];
}

const switcher = new NetnsSwitcher();
const remove = () => {
	for (const name of [NODE, OTHER]) switcher.remove(name);
};

beforeAll(() => {
	remove();
	for (const name of [NODE, OTHER]) switcher.create(name);
	inNode('link set lo up');
	inNode(`link add eth0 type veth peer name up0 netns ${OTHER}`);
	inNode('link add br0 type bridge');
	inNode(`link add pod1 mtu 1400 type veth peer name pod1 netns ${OTHER}`);
	inNode('link set pod1 master br0');
	inNode('addr add 10.8.0.1/24 dev eth0');
	inNode('-6 addr add fd00:8::1/64 dev eth0 nodad');
	inNode('link set eth0 up');
	inNode('route add default via 10.8.0.2');
	inNode('route add 10.77.0.0/16 via 10.8.0.2 dev eth0');
});
afterAll(() => {
	remove();
	switcher[Symbol.dispose]();
});

describe.each<FfiName>(['koffi', 'ffi-napi'])('Netlink by %s', (ffi) => {
	const native = openNative(ffi);
	const open = (room?: number) => switcher.within(NODE, () => new Netlink(native, room));

	it('network() gives the links that `ip` gives', () => {
		using netlink = open();
		const expected = (JSON.parse(ip('-n', NODE, '-d', '-j', 'link')) as IpLink[]).map((link) => ({
			index: link.ifindex,
			name: link.ifname,
			kind: link.linkinfo?.info_kind ?? '',
			mtu: link.mtu,
			up: link.flags.includes('UP'),
			mac: link.address,
		}));
		const { links } = netlink.network();
		expect(links.map(({ index, name, kind, mtu, up, mac }) => ({ index, name, kind, mtu, up, mac }))).toEqual(
			expected,
		);
		const byName = new Map(links.map((link) => [link.name, link]));
		expect(byName.get('pod1')).toMatchObject({ master: byName.get('br0')!.index, peerElsewhere: true });
		expect(byName.get('br0')).toMatchObject({ master: 0, peerElsewhere: false });
	});

	it('network() gives the addresses and the devices of default routes only', () => {
		using netlink = open();
		const { links, addresses, defaultDevices } = netlink.network();
		const eth0 = links.find(({ name }) => name === 'eth0')!.index;
		expect(addresses).toContainEqual({ index: eth0, family: 4, address: '10.8.0.1', prefix: 24, scope: 0 });
		expect(addresses).toContainEqual({ index: eth0, family: 6, address: 'fd00:8::1', prefix: 64, scope: 0 });
		expect(defaultDevices).toEqual([eth0]);
	});

	it('changed() tells of links, addresses, default and local routes, once, and of nothing else', () => {
		using netlink = open();
		expect(netlink.changed()).toBe(false);
		for (const [line, undo] of [
			[`link add pod2 type veth peer name pod2 netns ${OTHER}`, 'link del pod2'],
			['addr add 10.8.0.9/24 dev eth0', 'addr del 10.8.0.9/24 dev eth0'],
			['-6 route add default via fd00:8::2', '-6 route del default'],
			['route add local 10.79.0.0/16 dev eth0', 'route del local 10.79.0.0/16 dev eth0'],
			['-6 route add local fd00:79::/64 dev eth0', '-6 route del local fd00:79::/64 dev eth0'],
		] as const) {
			inNode(line);
			expect(netlink.changed(), line).toBe(true);
			expect(netlink.changed(), line).toBe(false);
			inNode(undo);
			expect(netlink.changed(), undo).toBe(true);
		}
		inNode('route add 10.78.0.0/16 via 10.8.0.2');
		inNode('route del 10.78.0.0/16');
		expect(netlink.changed()).toBe(false);
	});

	it.each([
		['fwmark 0x80/0x80', { mark: true, source: false }],
		['from SOURCE', { mark: false, source: true }],
		['iif DEVICE', { mark: false, source: true }],
		['iif lo', { mark: false, source: false }],
		['to SOURCE', { mark: false, source: false }],
		['from SOURCE fwmark 1', { mark: true, source: true }],
	])('network() tells what rules of policy routing look at: %s', (rule, seen) => {
		using netlink = open();
		const none = { mark: false, source: false };
		expect(netlink.network().rules).toEqual(none);
		for (const [family, source] of [
			['-4', '10.99.0.0/16'],
			['-6', 'fd00:99::/64'],
		]) {
			const line = rule.replace('SOURCE', source!).replace('DEVICE', 'eni0');
			inNode(`${family} rule add ${line} lookup main`);
			expect(netlink.network().rules).toEqual(seen);
			inNode(`${family} rule del ${line} lookup main`);
			expect(netlink.network().rules).toEqual(none);
		}
	});

	it('changed() is true when events were lost for want of room, and sees later ones', () => {
		using netlink = open(1);
		for (let i = 0; i < 20; i++) inNode(`link set pod1 mtu ${1300 + i}`);
		expect(netlink.changed()).toBe(true);
		expect(netlink.changed()).toBe(false);
		expect(netlink.network().links.find(({ name }) => name === 'pod1')?.mtu).toBe(1319);
		inNode('link set pod1 mtu 1400');
		expect(netlink.changed()).toBe(true);
	});

	it('reads dumps of several datagrams', () => {
		const names = Array.from({ length: 60 }, (_, i) => `many${i}`);
		const batch = (verb: string) =>
			names.map((name) => `link ${verb} ${name}${verb === 'add' ? ' type bridge' : ''}`);
		const run = (lines: string[]) =>
			execFileSync('ip', ['-n', NODE, '-batch', '-'], { input: lines.join('\n') });
		run(batch('add'));
		try {
			using netlink = open();
			const found = netlink.network().links.map(({ name }) => name);
			expect(found).toEqual(expect.arrayContaining(names));
		} finally {
			run(batch('del'));
		}
	});
});
