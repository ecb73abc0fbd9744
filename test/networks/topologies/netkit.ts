/**
 * Pods with netkit devices, which exist for BPF: with Ethernet, or with IP only, where pods have no
 * neighbours.
 */
import { nodeOf, PODS } from '../../netns/dataplane/topology.ts';
import type { Lab } from '../support/lab.ts';
import { type NetkitMode, netkitDevices, netkitPair } from '../support/netkit.ts';
import type { Spec } from '../support/spec.ts';

function pods(lab: Lab, mode: NetkitMode): void {
	const { net } = lab;
	for (const pod of PODS) {
		const { name, node, device: dev, v4, v6 } = pod;
		net.add(name);
		netkitPair(net.name(node), mode, dev, `p-${name}`);
		net.ip(node, `link set p-${name} netns ${net.name(name)} name eth0`, `link set ${dev} up`);
		net.ip(name, 'link set eth0 up');
		if (mode === 'l2') {
			lab.gateway(pod);
			continue;
		}
		net.ip(
			name,
			`address add ${v4}/32 dev eth0`,
			`address add ${v6}/128 dev eth0 nodad`,
			`route add default dev eth0 src ${v4}`,
			`route add default dev eth0 src ${v6}`,
		);
		const host = nodeOf(node);
		net.ip(node, `route add ${v4} dev ${dev} src ${host.v4}`, `route add ${v6} dev ${dev} src ${host.v6}`);
	}
}

const netkit = (mode: NetkitMode, models: string): Spec => ({
	name: `netkit-${mode}`,
	models,
	needs: [netkitDevices],
	modes: ['XDP', 'TC'],
	build(lab) {
		lab.outside();
		lab.nodes();
		pods(lab, mode);
		lab.podRoutes();
		lab.podsFromOutside();
		lab.balancers();
	},
});

export const netkitL2 = netkit('l2', 'Cilium with netkit-l2 as the pods’ devices');
export const netkitL3 = netkit('l3', 'Cilium with netkit as the pods’ devices');
