/**
 * Policy routing by source, as NetworkManager and netplan configure it for hosts with two NICs.
 * Packets with the address of the second NIC leave by it, although the default route of the main
 * table uses the first. The outside filters strictly. A rule by mark sends packets that the node
 * marks (for a VPN or an egress gateway) to another table.
 */
import { NODES } from '../../netns/dataplane/topology.ts';
import { expectAnswers } from '../checks/expectations.ts';
import type { Check } from '../support/check.ts';
import { nodePort } from '../support/objects.ts';
import { FAMILIES, type Spec } from '../support/spec.ts';

const ROUTER = { v4: '172.16.0.100', v6: 'fd00:172::100' };
const second = (n: number) => ({ v4: `172.16.0.${10 + n}`, v6: `fd00:172::${10 + n}` });

const SECOND_ADDRESS: Check = {
	id: 'second-address',
	title: 'NodePort at the second NIC to a pod of another node: the answer leaves by that NIC',
	run: (site, { family }) =>
		expectAnswers(site, 'far', { address: second(1)[family], port: nodePort('remote') }, 'pod2a'),
};

export const policySource: Spec = {
	name: 'policy-source',
	models: 'hosts with two NICs and a routing table by source address (NetworkManager, netplan, OCI, Azure)',
	modes: ['XDP', 'TC'],
	agent: [
		'--devices=eth0,eth1',
		'--nodeport-addresses=192.168.10.0/24,172.16.0.0/24,fd00:10::/64,fd00:172::/64',
	],
	build(lab) {
		const { net } = lab;
		lab.outside();
		lab.bridge('br1', `${ROUTER.v4}/24`, `${ROUTER.v6}/64`);
		lab.nodes();
		NODES.forEach((node, i) => {
			const own = second(i + 1);
			lab.wire(node, { device: 'eth1', bridge: 'br1' });
			net.ip(
				node.name,
				`address add ${own.v4}/24 dev eth1`,
				`address add ${own.v6}/64 dev eth1 nodad`,
				`route add default via ${ROUTER.v4} dev eth1 table 101`,
				`route add default via ${ROUTER.v6} dev eth1 table 101`,
				'route add blackhole 0.0.0.0/0 table 102',
				'route add blackhole ::/0 table 102',
			);
			for (const family of FAMILIES) {
				lab.rule(node.name, family, `from ${own[family]} lookup 101`);
				lab.rule(node.name, family, 'fwmark 0x200/0xf00 lookup 102');
			}
		});
		// the router accepts an address only through the NIC that has it
		net.sysctl('client', { 'net/ipv4/conf/br0/rp_filter': '1', 'net/ipv4/conf/br1/rp_filter': '1' });
		lab.strictV6('client');
		lab.pods();
		lab.podRoutes();
		lab.podsFromOutside();
		lab.balancers();
	},
	checks: [SECOND_ADDRESS],
};
