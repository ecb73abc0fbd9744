/**
 * Tests the routes that the agent writes for its programs, and the sysctls that it sets for them.
 */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DeviceFlag, deviceCodec, localRouteKeyCodec } from '../../agent/abi/layout.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { openPinnedMap } from '../../agent/bpf/kernel-map.ts';
import { ipOfBytes } from '../../agent/model/ip.ts';
import { TestNode } from './dataplane-node.ts';

const { UPLINK, INNER, SERVED } = DeviceFlag;
const native = openNative('koffi');

let node: TestNode;
beforeEach(() => {
	node = new TestNode('mld-rt');
});
afterEach(async () => {
	await node.stop();
	node.remove();
});

function devices(): Record<number, { flags: number; v4: string; v6: string }> {
	using map = openPinnedMap(native, join(node.pins, 'devices'))!;
	return Object.fromEntries(
		[...map.entries()].map(([key, value]) => {
			const { flags, snatV4, snatV6 } = deviceCodec.decode(value);
			const index = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
			return [index, { flags, v4: ipOfBytes(snatV4).text, v6: ipOfBytes(snatV6).text }];
		}),
	);
}

function localRoutes(): string[] {
	using map = openPinnedMap(native, join(node.pins, 'local_routes'))!;
	return [...map.entries()].map(([key]) => {
		const { prefixLen, addr } = localRouteKeyCodec.decode(key);
		const { family, text } = ipOfBytes(addr);
		return `${text}/${family === 4 ? prefixLen - 96 : prefixLen}`;
	});
}

const acceptLocal = () => node.in(node.node, 'cat', '/proc/sys/net/ipv4/conf/lo/accept_local').trim();

describe('openDataplane() and the routes', () => {
	it('tells what devices lead to, and which source they have', async () => {
		const pod = node.addPod('pod1');
		await node.open();
		const eth0 = node.index('eth0');
		expect(devices()).toEqual({
			[eth0]: { flags: UPLINK | SERVED, v4: '10.9.0.1', v6: 'fd00:9::1' },
			[pod]: { flags: INNER, v4: '::', v6: '::' },
		});
		node.ip(node.node, 'link del pod1');
		node.ip(node.node, 'link add cni0 type bridge');
		const next = node.addPod('pod2');
		node.ip(node.node, 'link set pod2 master cni0');
		await expect.poll(() => Object.keys(devices())).toEqual([eth0, node.index('cni0'), next].map(String));
	});

	it('follows local routes, and has the node’s addresses among them', async () => {
		await node.open();
		expect(localRoutes()).toEqual(expect.arrayContaining(['10.9.0.1/32', '127.0.0.0/8', 'fd00:9::1/128']));
		for (const prefix of ['192.0.2.7/32', '198.51.100.0/24', '2001:db8::/64']) {
			node.ip(node.node, `route add local ${prefix} dev eth0`);
			await expect.poll(localRoutes).toContain(prefix);
			node.ip(node.node, `route del local ${prefix} dev eth0`);
			await expect.poll(localRoutes).not.toContain(prefix);
		}
	});

	it('serves a tunnel by which others are routed, by TC, however XDP is asked for', async () => {
		const { agent } = await node.open({ xdp: 'native' });
		node.ip(node.node, 'link add flannel.1 type vxlan id 1 dev eth0 dstport 8472');
		node.ip(node.node, 'addr add 10.244.1.0/32 dev flannel.1');
		node.ip(node.node, 'link set flannel.1 up');
		const index = node.index('flannel.1');
		expect((await agent.status()).uplinks).toEqual(['eth0']);
		node.ip(node.node, 'route add 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink');
		await expect.poll(() => node.links(), { timeout: 10_000 }).toContain(`link_from_netdev_${index}`);
		await expect.poll(() => devices()[index]).toMatchObject({ flags: UPLINK | SERVED, v4: '10.244.1.0' });
		const { uplinks, degradations } = await agent.status();
		expect(uplinks).toEqual(['eth0', 'flannel.1']);
		expect(degradations.join()).not.toContain('flannel.1');
		expect(node.links()).not.toContain(`link_xdp_${index}`);
	});

	it('lets the loopback device take the node’s own sources, until cleanup', async () => {
		expect(acceptLocal()).toBe('0');
		const { agent } = await node.open();
		expect(acceptLocal()).toBe('1');
		await agent.end();
		expect(acceptLocal()).toBe('1');
		const clean = () => {
			const script = `import { cleanup } from './agent/bpf/cleanup.ts'; cleanup({ pinPath: '${node.pinPath}', ffi: 'koffi' });`;
			node.in(node.node, process.execPath, '--input-type=module', '-e', script);
		};
		clean();
		expect(acceptLocal()).toBe('0');
		// a value set before the agent started stays
		node.in(node.node, 'sysctl', '-qw', 'net.ipv4.conf.lo.accept_local=1');
		const second = await node.open();
		await second.agent.end();
		clean();
		expect(acceptLocal()).toBe('1');
	});
});
