import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { counterCodec, Reason } from '../../agent/abi/layout.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { openPinnedMap } from '../../agent/bpf/kernel-map.ts';
import { openPinnedLink } from '../../agent/bpf/link.ts';
import { FEATURES, LACKING, SIZES, TestNode } from './dataplane-node.ts';

const SOCKET_HOOKS = [
	'connect4',
	'connect6',
	'getpeer4',
	'getpeer6',
	'recvmsg4',
	'recvmsg6',
	'release',
	'sendmsg4',
	'sendmsg6',
];
const native = openNative('koffi');
const TC = FEATURES.tcx.ok ? 'tcx' : 'clsact';

let node: TestNode;
beforeEach(() => {
	node = new TestNode('mld-dp');
});
afterEach(async () => {
	await node.stop();
	node.remove();
});

/** Packets counted for a reason by all programs. */
function counted(reason: number): number {
	using map = openPinnedMap(native, join(node.pins, 'counters'))!;
	const value = map.lookup(new Uint8Array(Uint32Array.of(reason).buffer))!;
	let packets = 0;
	for (let at = 0; at < value.length; at += counterCodec.size)
		packets += Number(counterCodec.decode(value.subarray(at, at + counterCodec.size)).packets);
	return packets;
}

function deviceKeys(): number[] {
	using map = openPinnedMap(native, join(node.pins, 'xdp_devices'))!;
	return [...map.entries()].map(([key]) => new DataView(key.buffer, key.byteOffset).getUint32(0, true));
}

/**
 * Sends UDP to port 9 of the node from the peer namespace, in small bursts.
 * @returns when all packets are sent
 */
function send(count: number): Promise<unknown> {
	const script = `
		const socket = require('node:dgram').createSocket('udp4');
		let left = ${count};
		const burst = () => {
			for (let i = 0; i < 40 && left > 0; i++, left--) socket.send('x', 9, '10.9.0.1');
			if (left > 0) setTimeout(burst, 1); else setTimeout(() => socket.close(), 50);
		};
		burst();`;
	return once(spawn('nsenter', [`--net=/run/netns/${node.peer}`, process.execPath, '-e', script]), 'close');
}

/** Sends in the same way until stop(), which returns the number of sent packets. */
function stream(): { stop(): Promise<number> } {
	const script = `
		const socket = require('node:dgram').createSocket('udp4');
		let sent = 0, ended = false;
		process.stdin.resume().on('end', () => { ended = true; });
		const burst = () => {
			for (let i = 0; i < 40; i++, sent++) socket.send('x', 9, '10.9.0.1');
			if (!ended) setTimeout(burst, 1); else setTimeout(() => { socket.close(); console.log(sent); }, 50);
		};
		burst();`;
	const child = spawn('nsenter', [`--net=/run/netns/${node.peer}`, process.execPath, '-e', script]);
	let said = '';
	child.stdout.on('data', (chunk) => {
		said += chunk;
	});
	const closed = once(child, 'close');
	return {
		async stop() {
			child.stdin.end();
			await closed;
			return Number(said);
		},
	};
}

/**
 * Keeps port 9 open, so that the node sends no ICMP error. The programs would count that packet
 * too.
 */
async function sink(): Promise<() => void> {
	const script = `const s = require('node:dgram').createSocket('udp4'); s.on('message', () => {});
		s.bind(9, () => console.log('ready'));`;
	const child = spawn('nsenter', [`--net=/run/netns/${node.node}`, process.execPath, '-e', script]);
	await once(child.stdout, 'data');
	return () => child.kill('SIGKILL');
}

const pinsOf = (names: string[], ...ifindexes: number[]) =>
	ifindexes.flatMap((ifindex) => names.map((name) => `link_${name}_${ifindex}`));
const NETDEV = ['from_netdev', 'to_netdev'];
const POD = ['from_pod', 'to_pod'];
const sockets = SOCKET_HOOKS.map((hook) => `link_${hook}`);

async function until(condition: () => boolean, limit = 5000): Promise<number> {
	const begin = performance.now();
	while (!condition()) {
		if (performance.now() - begin > limit) throw new Error(`Nothing happened for ${limit} ms`);
		await sleep(2);
	}
	return performance.now() - begin;
}

describe('openDataplane()', () => {
	it('attaches to uplink, pods and cgroup, pins everything and reserves the SNAT ports', async () => {
		const pod = node.addPod('pod1');
		const { status } = await node.open();
		expect(status).toMatchObject({ uplinks: ['eth0'], pods: ['pod1'], degradations: LACKING });
		expect([100, 250, 300, 1000]).toContain(status.hz);
		const expected = [...pinsOf(NETDEV, node.index('eth0')), ...pinsOf(POD, pod), ...sockets];
		expect(node.links()).toEqual(expected.sort());
		expect(new Set(status.attachments.map(({ mode }) => mode))).toEqual(new Set([TC, 'cgroup']));
		expect(reserved()).toBe('61000-61999');
	});

	it('follows pods that come and go, within 200 ms', async () => {
		await node.open();
		const came: number[] = [];
		for (const name of ['pod1', 'pod2', 'pod3']) {
			const pins = pinsOf(POD, node.addPod(name));
			came.push(await until(() => pins.every((pin) => node.links().includes(pin))));
			node.ip(node.node, `link del ${name}`);
			came.push(await until(() => !node.links().some((pin) => pins.includes(pin))));
		}
		// the median instead of the maximum, because the machine may be busy
		expect(came.sort((a, b) => a - b)[3]!).toBeLessThan(200);
	});

	it('makes a device an uplink when the node gets its address', async () => {
		const pod = node.addPod('ext0');
		node.ip(node.node, 'addr add 192.0.2.1/24 dev ext0');
		const { agent } = await node.open();
		expect(node.links()).toEqual(expect.arrayContaining(pinsOf(POD, pod)));
		await agent.status('["10.9.0.1","192.0.2.1"]');
		await until(() => pinsOf(NETDEV, pod).every((pin) => node.links().includes(pin)));
		await until(() => !pinsOf(POD, pod).some((pin) => node.links().includes(pin)));
	});

	// a filter does not record the kind of its device
	it("keeps such an uplink over a restart, before the node's addresses are known", {
		skip: !FEATURES.tcx.ok,
	}, async () => {
		node.ip(node.node, 'route del default');
		const uplink = node.index('eth0');
		const { agent } = await node.open();
		await agent.status('["10.9.0.1"]');
		await until(() => pinsOf(NETDEV, uplink).every((pin) => node.links().includes(pin)));
		await agent.end('SIGKILL');
		const { status } = await node.open();
		expect(status.uplinks).toEqual(['eth0']);
		expect(node.links()).toEqual(expect.arrayContaining(pinsOf(NETDEV, uplink)));
	});

	it('leaves the programs at work when it is killed', async () => {
		const { agent } = await node.open();
		await agent.end('SIGKILL');
		const before = counted(Reason.PASS_NOT_SERVICE);
		const close = await sink();
		await send(100);
		close();
		expect(counted(Reason.PASS_NOT_SERVICE) - before).toBeGreaterThanOrEqual(100);
	});

	it('takes over without a gap: every packet is counted through two restarts, one by kill -9', async () => {
		const { agent } = await node.open();
		const close = await sink();
		const before = counted(Reason.PASS_NOT_SERVICE);
		const links = node.links();
		const sending = stream();
		await expect.poll(() => counted(Reason.PASS_NOT_SERVICE)).toBeGreaterThan(before);
		await agent.end();
		const second = await node.open();
		await second.agent.end('SIGKILL');
		await node.open();
		const sent = await sending.stop();
		close();
		expect(sent).toBeGreaterThan(1000);
		expect(counted(Reason.PASS_NOT_SERVICE) - before).toBe(sent);
		expect(node.links()).toEqual(links);
	});

	it('removes what an agent before it left on devices that are gone or not wanted', async () => {
		const pod = node.addPod('pod1');
		const gone = node.addPod('pod2');
		const { agent } = await node.open();
		await agent.end();
		node.ip(node.node, 'link del pod2');
		// the kernel removes a filter with its device
		if (FEATURES.tcx.ok) expect(node.links()).toEqual(expect.arrayContaining(pinsOf(POD, gone)));
		const { status } = await node.open({ devices: ['pod1'] });
		expect(status).toMatchObject({ uplinks: ['pod1'], pods: ['eth0'] });
		const expected = [...pinsOf(NETDEV, pod), ...pinsOf(POD, node.index('eth0')), ...sockets];
		expect(node.links()).toEqual(expected.sort());
	});

	it('finds filters again where TCX is not used, and takes them off when it ends up without them', async () => {
		const { agent, status } = await node.open({ tc: 'clsact' });
		expect(status.attachments.filter(({ mode }) => mode === 'clsact')).toHaveLength(2);
		const filters = () => node.in(node.node, 'tc', 'filter', 'show', 'dev', 'eth0', 'ingress');
		expect(filters()).toContain('ml_from_netdev');
		await agent.end();
		await node.open({ tc: 'clsact', devices: ['lo'] });
		expect(filters()).not.toContain('ml_from_netdev');
	});

	it.each(['native', 'generic'] as const)(
		'attaches XDP in mode %s when it is told to, and says where',
		async (xdp) => {
			const { status } = await node.open({ xdp });
			expect(status.degradations).toEqual(LACKING);
			expect(status.attachments).toContainEqual({ program: 'ml_xdp', target: 'eth0', mode: xdp });
			expect(node.links()).toContain(`link_xdp_${node.index('eth0')}`);
			expect(deviceKeys()).toEqual([node.index('eth0')]);
		},
	);

	it('replaces the XDP mode, and takes XDP off, when the configuration says so', async () => {
		const { agent } = await node.open({ xdp: 'native' });
		await agent.end();
		const second = await node.open({ xdp: 'generic' });
		expect(second.status.attachments).toContainEqual({ program: 'ml_xdp', target: 'eth0', mode: 'generic' });
		await second.agent.end();
		await node.open({ xdp: 'off' });
		expect(node.links()).not.toContain(`link_xdp_${node.index('eth0')}`);
		expect(deviceKeys()).toEqual([]);
		expect(node.ip(node.node, 'link show eth0')).not.toContain('xdp');
	});

	it('serves by TC, and says why, a device whose driver has no native XDP', async () => {
		node.ip(node.node, 'link add br0 type bridge');
		const { status } = await node.open({ xdp: 'native', devices: ['br0'] });
		expect(status.attachments.filter(({ target }) => target === 'br0').map(({ mode }) => mode)).toEqual([
			TC,
			TC,
		]);
		const refused = expect.stringMatching(/XDP.*br0; TC does its work/);
		expect(status.degradations).toEqual([refused, ...LACKING]);
	});

	it('serves a device that rides on another one by TC, and thinks that no shortcoming', async () => {
		node.ip(node.node, 'link add link eth0 name mac0 type macvlan mode private');
		node.ip(node.node, 'link set mac0 up');
		node.ip(node.node, 'addr add 10.9.100.1/24 dev mac0');
		const { status } = await node.open();
		expect(status.uplinks).toEqual(['eth0', 'mac0']);
		const riding = status.attachments.filter(({ target }) => target === 'mac0');
		expect(riding.map(({ program }) => program).sort()).toEqual(['ml_from_netdev', 'ml_to_netdev']);
		expect(status.degradations).toEqual(LACKING);
	});

	/** Pins of links that are attached to a device. */
	const alive = () =>
		node.links().filter((pin) => {
			// the agent may replace a pin at this moment
			using link = openPinnedLink(native, join(node.pins, pin));
			return (link?.state().ifindex ?? 0) !== 0;
		});

	it('attaches again what somebody took off its device (F-47)', { skip: !FEATURES.tcx.ok }, async () => {
		node.addPod('pod1');
		await node.open({ xdp: 'native' });
		const before = alive();
		expect(before).toHaveLength(5);
		for (const pin of before) {
			using link = openPinnedLink(native, join(node.pins, pin))!;
			link.detach();
		}
		expect(alive()).toEqual([]);
		await until(() => alive().length === before.length, 10_000);
		expect(alive()).toEqual(before);
	});

	it('attaches again what went with its qdisc, where TCX is not used (F-47)', async () => {
		await node.open({ tc: 'clsact' });
		const filters = () => node.in(node.node, 'tc', 'filter', 'show', 'dev', 'eth0', 'ingress');
		expect(filters()).toContain('ml_from_netdev');
		node.in(node.node, 'tc', 'qdisc', 'del', 'dev', 'eth0', 'clsact');
		await until(() => filters().includes('ml_from_netdev'), 10_000);
	});

	it('refuses to start when a named cgroup does not exist', async () => {
		for (const flag of ['cgroup', 'hostCgroup'] as const) {
			const opening = node.open({ [flag]: `${node.cgroup}/none` });
			await expect(opening).rejects.toThrow(/cgroup .*none does not exist/);
		}
	});

	it("attaches a second copy to the host's cgroup", async () => {
		const { agent } = await node.open({ hostCgroup: node.cgroup });
		expect(node.links()).toEqual(expect.arrayContaining(SOCKET_HOOKS.map((hook) => `link_host_${hook}`)));
		await agent.end();
		await node.open();
		expect(node.links().filter((pin) => pin.startsWith('link_host_'))).toEqual([]);
	});

	it('needs three capabilities and no more', async () => {
		const set = '-all,+cap_38,+cap_39,+net_admin';
		const { status } = await node.open({}, ['setpriv', '--inh-caps', set, '--bounding-set', set]);
		expect(status.features.capabilities.why).toBe('CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON');
		expect(status.degradations).toEqual(LACKING);
		expect(status.attachments).toHaveLength(11);
	});

	it('says which capabilities are missing', async () => {
		const set = '-all,+net_admin';
		const agent = node.start({}, ['setpriv', '--inh-caps', set, '--bounding-set', set]);
		expect((await agent.next()).error).toMatch(/CAP_BPF missing; run as root/);
	});

	it('says where bpffs is missing', async () => {
		const { error } = await node.start({ pinPath: '/tmp/mld-none' }).next();
		expect(error).toContain('mount -t bpf');
	});

	it('refuses pinned maps of another size by name and with the remedy, and leaves all as it was', async () => {
		const { agent } = await node.open();
		await agent.end();
		const links = node.links();
		const { error } = await node.start({ mapEntries: { ...SIZES, frontends: 2048 } }).next();
		expect(error).toMatch(/frontends.*maglane cleanup/);
		expect(node.links()).toEqual(links);
	});
});

const reserved = () => node.in(node.node, 'cat', '/proc/sys/net/ipv4/ip_local_reserved_ports').trim();

describe('cleanup()', () => {
	const cleanUp = () => {
		const script = `import { cleanup } from './agent/bpf/cleanup.ts';
			console.log(cleanup({ pinPath: '${node.pinPath}', ffi: 'koffi' }).length);`;
		return Number(node.in(node.node, process.execPath, '--input-type=module-typescript', '-e', script));
	};

	it.each(['auto', 'clsact'] as const)(
		'leaves no program, map, pin, qdisc or setting (TC by %s; F-47)',
		async (tc) => {
			node.in(node.node, 'sysctl', '-qw', 'net.ipv4.ip_local_reserved_ports=8080,61500-61600');
			node.addPod('pod1');
			const { agent } = await node.open({ xdp: 'native', tc });
			expect(reserved()).toBe('8080,61000-61999');
			await agent.end();
			expect(cleanUp()).toBeGreaterThan(15);
			expect(existsSync(node.pinPath)).toBe(false);
			expect(reserved()).toBe('8080,61500-61600');
			const left = JSON.parse(node.in(node.node, 'bpftool', '-j', 'net', 'show'))[0];
			expect(left).toMatchObject({ xdp: [], tc: [] });
			expect(node.in(node.node, 'tc', 'qdisc', 'show')).not.toContain('clsact');
		},
	);

	it('leaves the qdisc to those who have filters in it', async () => {
		const { agent } = await node.open({ tc: 'clsact' });
		await agent.end();
		node.in(
			node.node,
			'tc',
			'filter',
			'add',
			'dev',
			'eth0',
			'ingress',
			'prio',
			'9',
			'u32',
			'match',
			'u32',
			'0',
			'0',
		);
		cleanUp();
		expect(node.in(node.node, 'tc', 'filter', 'show', 'dev', 'eth0', 'ingress')).toContain('u32');
		expect(node.in(node.node, 'tc', 'filter', 'show', 'dev', 'eth0', 'ingress')).not.toContain('bpf');
	});

	it('does nothing where there is nothing', () => {
		expect(cleanUp()).toBe(0);
	});
});
