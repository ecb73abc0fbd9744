/**
 * flannel VXLAN, dual stack, with strict rp_filter. Each node has 10.244.<n>.0/32 on flannel.1 and
 * routes the pods of other nodes to the counterpart of that address. It drops packets that arrive
 * on a device other than that of the route to their source. Pods are masqueraded outside of their
 * network, also towards node addresses, because replies to a pod address would take the other path.
 */
import { NODES } from '../../netns/dataplane/topology.ts';
import type { Lab } from '../support/lab.ts';
import { device } from '../support/needs.ts';
import type { Spec } from '../support/spec.ts';
import { flannelRules } from './masquerade.ts';

const OVERHEAD = { v4: 50, v6: 70 } as const;
const podMtu = 1500 - OVERHEAD.v6;

/** Devices of each family: name, addresses and hardware addresses by node. */
const FAMILIES = [
	{
		family: 'v4',
		name: 'flannel.1',
		own: (n: number) => `10.244.${n}.0`,
		prefix: 32,
		mac: (n: number) => `02:00:00:00:04:0${n}`,
	},
	{
		family: 'v6',
		name: 'flannel-v6.1',
		own: (n: number) => `fd00:244:${n}::`,
		prefix: 128,
		mac: (n: number) => `02:00:00:00:06:0${n}`,
	},
] as const;

function overlay({ net }: Lab): void {
	NODES.forEach((node, i) => {
		const [n, peer] = [i + 1, 2 - i];
		const other = NODES[peer - 1]!;
		for (const { family, name, own, prefix, mac } of FAMILIES) {
			const pods = family === 'v4' ? other.podsV4 : other.podsV6;
			net.ip(
				node.name,
				`link add ${name} address ${mac(n)} type vxlan id 1 local ${node[family]} dev eth0 dstport 8472 nolearning`,
				`link set ${name} mtu ${1500 - OVERHEAD[family]} up`,
				`address add ${own(n)}/${prefix} dev ${name}${family === 'v6' ? ' nodad' : ''}`,
				`neighbour add ${own(peer)} lladdr ${mac(peer)} dev ${name} nud permanent`,
				`route add ${pods} via ${own(peer)} dev ${name} onlink`,
			);
			net.exec(node.name, 'bridge', 'fdb', 'append', mac(peer), 'dev', name, 'dst', other[family]);
		}
	});
}

export const vxlan: Spec = {
	name: 'vxlan',
	models: 'flannel or Canal by VXLAN, RKE2 and k3s by default; strict rp_filter',
	needs: [device('vxlan', 'id 5 dstport 8472 local 127.0.0.1')],
	modes: ['XDP', 'TC'],
	build(lab) {
		lab.outside();
		lab.nodes('strict');
		lab.pods({ mtu: podMtu });
		overlay(lab);
		lab.balancers();
		flannelRules(lab);
	},
	masquerade: true,
	source: { v4: '10.244.1.0', v6: 'fd00:244:1::' },
};
