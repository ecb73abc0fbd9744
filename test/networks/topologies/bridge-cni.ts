/**
 * The bridge plugin: the veths of pods are ports of cni0 in hairpin mode, and its addresses are the
 * gateways of the pods. Pods of a node reach each other by Ethernet alone. With ipMasq the outside
 * sees no pod address.
 */
import { NODES, PODS, type PodPlace } from '../../netns/dataplane/topology.ts';
import type { Lab } from '../support/lab.ts';
import type { Spec } from '../support/spec.ts';
import { flannelRules } from './masquerade.ts';

function bridges({ net }: Lab): void {
	NODES.forEach(({ name }, i) => {
		net.ip(
			name,
			'link add cni0 type bridge',
			'link set cni0 up',
			`address add 10.244.${i + 1}.1/24 dev cni0`,
			`address add fd00:244:${i + 1}::1/64 dev cni0 nodad`,
		);
	});
}

function pod({ net }: Lab, { name, node, device, v4, v6 }: PodPlace): void {
	const gateway = { v4: v4.replace(/\d+$/, '1'), v6: v6.replace(/::.*/, '::1') };
	net.add(name);
	net.veth({ ns: node, dev: device }, { ns: name, dev: 'eth0' });
	net.ip(node, `link set ${device} master cni0`, `link set ${device} type bridge_slave hairpin on`);
	net.ip(name, `address add ${v4}/24 dev eth0`, `address add ${v6}/64 dev eth0 nodad`);
	net.ip(name, `route add default via ${gateway.v4}`, `route add default via ${gateway.v6}`);
}

export const bridgeCni: Spec = {
	name: 'bridge-cni',
	models:
		'the bridge plugin (cni0) with ipMasq and hairpinMode: flannel, kubenet, minikube, CRI-O by default',
	modes: ['XDP', 'TC'],
	build(lab) {
		lab.outside();
		lab.nodes();
		bridges(lab);
		for (const one of PODS) pod(lab, one);
		lab.podRoutes();
		lab.balancers();
		flannelRules(lab);
	},
	masquerade: true,
};
