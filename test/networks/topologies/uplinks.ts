/**
 * The node address is on a device above its NIC: a bridge, a VLAN, a bond. Only TC serves such a
 * device.
 */
import { NODES, type NodePlace } from '../../netns/dataplane/topology.ts';
import type { Lab } from '../support/lab.ts';
import { device } from '../support/needs.ts';
import type { Spec } from '../support/spec.ts';
import { tunPairs } from '../support/tun.ts';

const common = (uplink: (lab: Lab, node: NodePlace) => void) => (lab: Lab) => {
	lab.outside();
	lab.bareNodes();
	for (const node of NODES) uplink(lab, node);
	lab.pods();
	lab.podRoutes();
	lab.podsFromOutside();
	lab.balancers();
};

/** The NIC is a tap device, because the agent takes a veth in a bridge for the device of a pod. */
export const bridgeUplink: Spec = {
	name: 'bridge-uplink',
	models:
		'a NIC that is a port of the bridge with the node’s address: hosts of virtual machines, Harvester, Incus',
	modes: ['TC'],
	async build(lab) {
		const { net } = lab;
		lab.outside();
		lab.bareNodes();
		await tunPairs(
			lab,
			NODES.map(({ name }) => [
				{ ns: name, dev: 'eth0' },
				{ ns: 'client', dev: `tap-${name}` },
			]),
			'tap',
		);
		for (const node of NODES) {
			net.ip('client', `link set tap-${node.name} master br0`);
			net.ip(node.name, 'link add br-ex type bridge', 'link set br-ex up', 'link set eth0 master br-ex');
			lab.address(node, 'br-ex');
		}
		lab.pods();
		lab.podRoutes();
		lab.podsFromOutside();
		lab.balancers();
	},
};

/** The outside ends of the wires are VLAN devices too. */
export const vlanUplink: Spec = {
	name: 'vlan',
	models: 'the node’s address on a tagged VLAN (eth0.100)',
	needs: [device('vlan', 'id 100', true)],
	modes: ['TC'],
	build: common((lab, node) => {
		const { net } = lab;
		const port = `${node.name}-eth0`;
		lab.wire(node);
		net.ip(node.name, 'link add link eth0 name eth0.100 type vlan id 100', 'link set eth0.100 up');
		net.ip(
			'client',
			`link set ${port} nomaster`,
			`link add link ${port} name ${node.name}.100 type vlan id 100`,
			`link set ${node.name}.100 up master br0`,
		);
		lab.address(node, 'eth0.100');
	}),
};

export const bondUplink: Spec = {
	name: 'bond',
	models: 'two NICs in a bond, active-backup',
	needs: [device('bond', 'mode active-backup')],
	modes: ['TC'],
	build: common((lab, node) => {
		lab.wire(node);
		lab.wire(node, { device: 'eth1' });
		lab.net.ip(
			node.name,
			'link add bond0 type bond mode active-backup miimon 100',
			...['eth0', 'eth1'].flatMap((dev) => [`link set ${dev} down`, `link set ${dev} master bond0`]),
			'link set bond0 up',
		);
		lab.address(node, 'bond0');
	}),
};
