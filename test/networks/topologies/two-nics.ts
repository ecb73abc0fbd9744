/**
 * Two NICs: the first has the node address and the outside, the second has the pod networks and its
 * own address. Strict rp_filter drops packets on the second NIC with the address of the first. Pods
 * are masqueraded outside of their network.
 */
import { NODES } from '../../netns/dataplane/topology.ts';
import type { Spec } from '../support/spec.ts';
import { flannelRules } from './masquerade.ts';

/** Addresses of node n on its second NIC. */
const second = (n: number) => ({ v4: `172.16.0.${10 + n}`, v6: `fd00:172::${10 + n}` });

export const twoNics: Spec = {
	name: 'two-nics',
	models: 'a pod network on a NIC of its own: flannel --iface with host-gw, Calico with an interface chosen',
	modes: ['XDP', 'TC'],
	// the agent takes a veth without a node address for the device of a pod
	agent: ['--devices=eth0,eth1'],
	build(lab) {
		lab.outside();
		lab.bridge('br1', '172.16.0.100/24', 'fd00:172::100/64');
		lab.nodes('strict');
		NODES.forEach((node, i) => {
			const [own, peer] = [second(i + 1), second(2 - i)];
			const other = NODES[1 - i]!;
			lab.wire(node, { device: 'eth1', bridge: 'br1' });
			lab.net.ip(
				node.name,
				`address add ${own.v4}/24 dev eth1`,
				`address add ${own.v6}/64 dev eth1 nodad`,
				`route add ${other.podsV4} via ${peer.v4} dev eth1`,
				`route add ${other.podsV6} via ${peer.v6} dev eth1`,
			);
		});
		lab.pods();
		lab.balancers();
		flannelRules(lab);
	},
	masquerade: true,
	source: second(1),
};
