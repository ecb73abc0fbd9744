import { describe, expect, it } from 'vitest';
import { xdpMode } from '../../agent/bpf/device-links.ts';
import { chooseDevices, type DeviceChoice, deviceRoles, localAddresses } from '../../agent/bpf/devices.ts';
import type { Network } from '../../agent/bpf/netlink.ts';
import type { Link, LinkAddress, Route } from '../../agent/bpf/netlink-message.ts';

type Device = Partial<Link> & {
	name: string;
	addresses?: string[];
	isDefault?: boolean;
	routes?: Partial<Route>[];
};

const LO: Device = { name: 'lo', loopback: true, ethernet: false, addresses: ['127.0.0.1/8', '::1/128'] };

const pod = (name: string, more: Partial<Device> = {}): Device => ({
	name,
	kind: 'veth',
	peerElsewhere: true,
	...more,
});

/** Devices with ascending ifindex, from 1. */
function network(devices: readonly Device[]): Network {
	const addresses = devices.flatMap((device, i) =>
		(device.addresses ?? []).map((text): LinkAddress => {
			const [address, prefix] = text.split('/') as [string, string];
			const scope = device.loopback ? 254 : address.startsWith('fe80') ? 253 : 0;
			return { index: i + 1, family: address.includes(':') ? 6 : 4, address, prefix: Number(prefix), scope };
		}),
	);
	return {
		links: devices.map((device, i) => ({
			index: i + 1,
			name: device.name,
			kind: device.kind ?? '',
			up: true,
			loopback: device.loopback ?? false,
			ethernet: device.ethernet ?? true,
			...(device.layer3 && { layer3: true as const }),
			...(device.parent !== undefined && { parent: device.parent }),
			mtu: 1500,
			mac: '',
			master: device.master ?? 0,
			peerElsewhere: device.peerElsewhere ?? false,
			xdp: 'none',
		})),
		addresses,
		defaultDevices: devices.flatMap((device, i) => (device.isDefault ? [i + 1] : [])),
		rules: { mark: false, source: false },
		routes: devices.flatMap((device, i) =>
			(device.routes ?? []).map(
				(route): Route => ({
					family: 4,
					isDefault: false,
					devices: [i + 1],
					gateway: false,
					isLocal: false,
					isForeign: true,
					destination: new Uint8Array(4),
					prefix: 24,
					source: undefined,
					...route,
				}),
			),
		),
	};
}

function choose(devices: readonly Device[], choice: Partial<DeviceChoice> = {}) {
	const { uplinks, pods, problems } = chooseDevices(network(devices), { devices: 'auto', ...choice });
	const names = (links: readonly Link[]) => links.map((link) => link.name);
	return { uplinks: names(uplinks), pods: names(pods), problems };
}

describe('chooseDevices() by itself', () => {
	it.each<[string, Device[], { uplinks: string[]; pods: string[] }]>([
		[
			'kind: a veth with the default route, ptp pods whose veths hold the gateway',
			[
				LO,
				{ name: 'eth0', kind: 'veth', peerElsewhere: true, isDefault: true, addresses: ['172.18.0.2/16'] },
				pod('veth7c', { addresses: ['10.244.1.1/32'] }),
				pod('veth9e', { addresses: ['10.244.1.1/32'] }),
			],
			{ uplinks: ['eth0'], pods: ['veth7c', 'veth9e'] },
		],
		[
			'a bridge CNI: ports of cni0 are pods, the bridge is none',
			[
				LO,
				{ name: 'ens3', isDefault: true, addresses: ['192.0.2.10/24', 'fe80::1/64'] },
				{ name: 'cni0', kind: 'bridge', addresses: ['10.244.1.1/24'] },
				pod('veth01', { master: 3 }),
				pod('veth02', { master: 3 }),
			],
			{ uplinks: ['ens3'], pods: ['veth01', 'veth02'] },
		],
		[
			'docker beside: its veths count as pods, docker0 as nothing',
			[
				LO,
				{ name: 'eth0', isDefault: true, addresses: ['192.0.2.10/24'] },
				{ name: 'docker0', kind: 'bridge', addresses: ['172.17.0.1/16'] },
				pod('vethd0', { master: 3 }),
			],
			{ uplinks: ['eth0'], pods: ['vethd0'] },
		],
		[
			'two NICs and a VLAN: hardware with a global address is an uplink, a port of the bond is not',
			[
				LO,
				{ name: 'eth0', master: 4 },
				{ name: 'eth1', addresses: ['198.51.100.7/24'] },
				{ name: 'bond0', kind: 'bond', isDefault: true, addresses: ['192.0.2.10/24'] },
				{ name: 'bond0.7', kind: 'vlan', addresses: ['203.0.113.5/24'] },
				{ name: 'eth2', addresses: ['fe80::2/64'] },
			],
			{ uplinks: ['eth1', 'bond0', 'bond0.7'], pods: [] },
		],
		[
			'the host bridge of a hypervisor: the bridge holds the route',
			[LO, { name: 'eno1', master: 3 }, { name: 'br0', kind: 'bridge', isDefault: true }, pod('veth1')],
			{ uplinks: ['br0'], pods: ['veth1'] },
		],
		[
			'a veth pair within the namespace and a tunnel by which nothing is routed are neither',
			[
				LO,
				{ name: 'eth0', isDefault: true },
				{ name: 'patch0', kind: 'veth', addresses: ['10.9.9.1/24'], routes: [{}] },
				{ name: 'flannel.1', kind: 'vxlan', addresses: ['10.244.1.0/32'], routes: [{ isForeign: false }] },
				{ name: 'vxlan.x', kind: 'vxlan', routes: [{}] },
			],
			{ uplinks: ['eth0'], pods: [] },
		],
		[
			'flannel: its tunnel holds an address, and the pods of others are routed by it; cni0 has pods for ports',
			[
				LO,
				{ name: 'eth0', isDefault: true },
				{ name: 'flannel.1', kind: 'vxlan', addresses: ['10.244.1.0/32'], routes: [{}] },
				{ name: 'flannel-v6.1', kind: 'vxlan', addresses: ['fd00:244:1::/128'], routes: [{ family: 6 }] },
				{ name: 'cni0', kind: 'bridge', addresses: ['10.244.1.1/24'], routes: [{}] },
				pod('veth01', { master: 5 }),
			],
			{ uplinks: ['eth0', 'flannel.1', 'flannel-v6.1'], pods: ['veth01'] },
		],
		[
			'a node in a container, whose NICs are veths: ports of a bond, and what a VLAN is on, are no pods',
			[
				LO,
				pod('eth0', { master: 4 }),
				pod('eth1', { master: 4 }),
				{ name: 'bond0', kind: 'bond' },
				{ name: 'bond0.7', kind: 'vlan', parent: 4, isDefault: true, addresses: ['192.0.2.10/24'] },
				pod('eth2'),
				{ name: 'eth2.8', kind: 'vlan', parent: 6, addresses: ['198.51.100.7/24'] },
				pod('veth1'),
			],
			{ uplinks: ['bond0.7', 'eth2.8'], pods: ['veth1'] },
		],
		[
			'a VLAN on the veth of a pod, which is no uplink: the pod stays one',
			[
				LO,
				{ name: 'eth0', isDefault: true },
				pod('veth1'),
				{ name: 'veth1.9', kind: 'vlan', parent: 3 },
				{ name: 'team0', kind: 'team' },
				pod('nic1', { master: 5 }),
			],
			{ uplinks: ['eth0'], pods: ['veth1'] },
		],
		[
			'netkit pods',
			[LO, { name: 'eth0', isDefault: true }, pod('lxc1', { kind: 'netkit' })],
			{ uplinks: ['eth0'], pods: ['lxc1'] },
		],
	])('%s', (_, devices, expected) => {
		expect(choose(devices)).toEqual({ ...expected, problems: [] });
	});

	it("takes a veth without a route for an uplink when it holds the node's address", () => {
		const devices = [LO, pod('net0', { addresses: ['192.168.10.11/24'] }), pod('veth1')];
		expect(choose(devices, { nodeAddresses: ['192.168.10.11'] })).toEqual({
			uplinks: ['net0'],
			pods: ['veth1'],
			problems: [],
		});
	});

	it("keeps a former uplink until the node's addresses are known", () => {
		const devices = [LO, pod('net0', { addresses: ['192.168.10.11/24'] }), pod('veth1')];
		expect(choose(devices, { formerUplinks: [2] })).toMatchObject({ uplinks: ['net0'], pods: ['veth1'] });
		const known = { formerUplinks: [2], nodeAddresses: ['192.168.10.99'] };
		expect(choose(devices, known)).toMatchObject({ uplinks: [], pods: ['net0', 'veth1'] });
	});

	it('says so when no device faces other nodes', () => {
		const { uplinks, pods, problems } = choose([LO, pod('veth1')]);
		expect({ uplinks, pods }).toEqual({ uplinks: [], pods: ['veth1'] });
		expect(problems).toEqual([expect.stringContaining('--devices')]);
	});

	it('takes a device without a link layer as others, and names one with another', () => {
		const { uplinks, problems } = choose([
			LO,
			{ name: 'eth0', isDefault: true },
			{ name: 'wg0', kind: 'wireguard', ethernet: false, layer3: true, isDefault: true },
			{ name: 'ib0', ethernet: false, isDefault: true },
		]);
		expect(uplinks).toEqual(['eth0', 'wg0']);
		expect(problems).toEqual(['Device ib0 carries neither Ethernet frames nor bare IP packets']);
	});
});

describe('chooseDevices() by name', () => {
	const devices = [
		LO,
		{ name: 'eth0', isDefault: true, addresses: ['192.0.2.10/24'] },
		pod('ext0', { addresses: ['192.0.2.99/24'] }),
		pod('veth1'),
	];

	it('takes exactly the named ones, veths too, and the rest of the veths for pods', () => {
		expect(choose(devices, { devices: ['ext0'] })).toEqual({
			uplinks: ['ext0'],
			pods: ['veth1'],
			problems: [],
		});
	});

	it('names what there is not', () => {
		expect(choose(devices, { devices: ['eth0', 'eth7'] })).toEqual({
			uplinks: ['eth0'],
			pods: ['ext0', 'veth1'],
			problems: ['There is no device eth7'],
		});
	});
});

describe('localAddresses()', () => {
	it("takes those of all devices but pods' veths, each once", () => {
		const given = network([
			LO,
			{ name: 'eth0', addresses: ['192.168.10.11/24', 'fd00:10::11/64', 'fe80::1/64'], isDefault: true },
			{ name: 'cni0', kind: 'bridge', addresses: ['10.244.1.1/24'] },
			{ name: 'dummy0', kind: 'dummy', addresses: ['203.0.113.1/32', '192.168.10.11/32'] },
			pod('veth1', { addresses: ['169.254.1.1/32', '10.9.9.9/32'] }),
		]);
		expect(localAddresses(given, chooseDevices(given, { devices: 'auto' }))).toEqual([
			'10.244.1.1',
			'127.0.0.1',
			'192.168.10.11',
			'203.0.113.1',
			'::1',
			'fd00:10::11',
			'fe80::1',
		]);
	});
});

describe('deviceRoles()', () => {
	const roles = (devices: readonly Device[], choice: Partial<DeviceChoice> = {}) => {
		const all = network(devices);
		const chosen = chooseDevices(all, { devices: 'auto', ...choice });
		return Object.fromEntries(
			deviceRoles(all, chosen, choice.nodeAddresses).map(({ index, uplink, inner, served, sources }) => [
				devices[index - 1]!.name,
				[uplink ? 'uplink' : '', inner ? 'inner' : '', served ? 'served' : '', ...Object.values(sources)]
					.filter(Boolean)
					.join(' '),
			]),
		);
	};
	const eth0 = { name: 'eth0', isDefault: true, addresses: ['192.0.2.10/24', 'fd00::10/64', 'fe80::1/64'] };

	it('tells uplinks, pods and the bridge before pods apart; of others it says nothing', () => {
		const devices = [
			LO,
			eth0,
			{ name: 'cni0', kind: 'bridge', addresses: ['10.244.1.1/24'] },
			pod('veth01', { master: 3 }),
			{ name: 'virbr0', kind: 'bridge', addresses: ['192.168.122.1/24'] },
			{ name: 'cilium_host', kind: 'veth', addresses: ['10.0.0.56/32'], routes: [{}] },
		];
		expect(roles(devices)).toEqual({
			eth0: 'uplink served 192.0.2.10 fd00::10',
			cni0: 'inner',
			veth01: 'inner',
		});
	});

	it('says both of a bridge with pods and other ports, and of one that is an uplink', () => {
		const ports = (master: number) => [pod('veth01', { master }), { name: 'vxlan1', kind: 'vxlan', master }];
		const weave = [LO, eth0, { name: 'weave', kind: 'bridge', addresses: ['10.32.0.1/12'] }, ...ports(3)];
		expect(roles(weave)).toMatchObject({ weave: 'uplink inner' });
		const br0 = { name: 'br0', kind: 'bridge', isDefault: true, addresses: ['192.0.2.10/24'] };
		expect(roles([LO, br0, pod('veth01', { master: 2 })])).toMatchObject({
			br0: 'uplink inner served 192.0.2.10',
		});
	});

	it('has for source what the routes name, then the address of the Node, then the first', () => {
		const addresses = ['192.0.2.10/24', '192.0.2.11/24'];
		const source = (routes: Partial<Route>[], nodeAddresses: string[] = []) =>
			roles([LO, { name: 'eth0', isDefault: true, addresses, routes }], { nodeAddresses })['eth0'];
		expect(source([])).toBe('uplink served 192.0.2.10');
		expect(source([], ['192.0.2.11'])).toBe('uplink served 192.0.2.11');
		const named = { source: '192.0.2.99' };
		expect(source([named, {}, named], ['192.0.2.11'])).toBe('uplink served 192.0.2.99');
		expect(source([named, { source: '192.0.2.98' }], ['192.0.2.11'])).toBe('uplink served 192.0.2.11');
		expect(source([{ ...named, isForeign: false }])).toBe('uplink served 192.0.2.10');
	});

	it('gives no source to a device that --devices leaves out: no answer would be seen there', () => {
		const tunnel = { name: 'flannel.1', kind: 'vxlan', addresses: ['10.244.1.0/32'], routes: [{}] };
		expect(roles([LO, eth0, tunnel], { devices: ['eth0'] })).toEqual({
			eth0: 'uplink served 192.0.2.10 fd00::10',
			'flannel.1': 'uplink',
		});
	});
});

describe('xdpMode()', () => {
	const { links } = network([
		{ name: 'eth0' },
		{ name: 'eth1' },
		{ name: 'eth0.7', kind: 'vlan', parent: 1 },
		{ name: 'veth', kind: 'veth' },
		{ name: 'tun0', kind: 'tun', ethernet: false, layer3: true },
	]);
	const modes = (wanted: 'auto' | 'native') => links.map((link) => xdpMode(link, links, wanted));

	it('leaves a device that carries VLANs, and what rides on another, to TC', () => {
		expect(modes('auto')).toEqual(['off', 'native', 'off', 'off', 'off']);
	});

	it('does as it is told where there is Ethernet', () => {
		expect(modes('native')).toEqual(['native', 'native', 'native', 'native', 'off']);
	});
});
