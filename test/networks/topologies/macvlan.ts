/**
 * Pods without a device on the node: macvlan or ipvlan on its NIC, on the Ethernet of the nodes. A
 * parent device cannot talk to its children, so the node reaches its pods by its own device of the
 * same kind. Only the socket hooks see packets of such pods to Services. Their replies to the
 * outside leave through the NIC.
 */
import { CLIENT, NODES, PODS } from '../../netns/dataplane/topology.ts';
import type { Lab } from '../support/lab.ts';
import { device } from '../support/needs.ts';
import type { Degraded, Spec } from '../support/spec.ts';

/** Addresses of the node's own device in the network of its pods. */
const shim = (n: number) => ({ v4: `192.168.10.${20 + n}`, v6: `fd00:10::${20 + n}` });

/** `kind` is the device type with options, an argument of `ip link add link eth0 type`. */
function pods(lab: Lab, kind: string, routed: boolean): void {
	const { net } = lab;
	// in mode l3 pods do not answer ARP, so their nodes route to them
	if (routed) {
		lab.podRoutes();
		lab.podsFromOutside();
	}
	for (const { name, node, v4, v6 } of PODS) {
		net.add(name);
		net.ip(node, `link add link eth0 name ${name} netns ${net.name(name)} type ${kind}`);
		const route = (via: string) => (routed ? '' : `via ${via}`);
		net.ip(
			name,
			`link set ${name} name eth0`,
			'link set eth0 up',
			`address add ${v4}/32 dev eth0`,
			`address add ${v6}/128 dev eth0 nodad`,
			`route add ${CLIENT.v4} dev eth0 scope link`,
			`route add ${CLIENT.v6} dev eth0`,
			`route add default ${route(CLIENT.v4)} dev eth0 src ${v4}`,
			`route add default ${route(CLIENT.v6)} dev eth0 src ${v6}`,
			...(routed ? [] : onLink(v4, v6)),
		);
	}
	NODES.forEach(({ name, podsV4, podsV6, v4, v6 }, i) => {
		const other = NODES[1 - i]!;
		const own = shim(i + 1);
		net.ip(
			name,
			`link add link eth0 name shim0 type ${kind}`,
			'link set shim0 up',
			`address add ${own.v4}/32 dev shim0`,
			`address add ${own.v6}/128 dev shim0 nodad`,
			`route add ${podsV4} dev shim0 src ${own.v4}`,
			`route add ${podsV6} dev shim0 src ${own.v6}`,
		);
		if (routed) return;
		net.ip(
			name,
			`route add ${other.podsV4} dev eth0 src ${v4}`,
			`route add ${other.podsV6} dev eth0 src ${v6}`,
		);
		net.ip('client', `route add ${podsV4} dev br0`, `route add ${podsV6} dev br0`);
	});
}

/** Routes to pods and nodes on the same Ethernet. */
const onLink = (v4: string, v6: string) => [
	`route add 10.244.0.0/16 dev eth0 src ${v4}`,
	`route add 192.168.10.0/24 dev eth0 src ${v4}`,
	`route add fd00:244::/32 dev eth0 src ${v6}`,
	`route add fd00:10::/64 dev eth0 src ${v6}`,
];

const UNREFUSED: Degraded = {
	checks: ['pod-refused'],
	why: "a pod's datagram to a Service without backends is refused at its device on the node, of which these have none",
};
const UNSEEN: Degraded = {
	checks: ['pod-packets', 'pod-bulk', 'hairpin-packets'],
	why: 'packets of pods whose sockets are not ours pass no device of the node, so ClusterIPs are not theirs',
};

const build =
	(kind: string, routed = false) =>
	(lab: Lab) => {
		lab.outside();
		lab.nodes();
		pods(lab, kind, routed);
		lab.balancers();
	};

export const macvlan: Spec = {
	name: 'macvlan',
	models: 'the macvlan plugin: no device of the pod on the node, a macvlan of the node among its pods',
	needs: [device('macvlan', 'mode bridge', true)],
	modes: ['XDP', 'TC'],
	build: build('macvlan mode bridge'),
	podsUnseen: true,
	localSource: shim(1),
	degraded: [UNSEEN, UNREFUSED],
};

export const ipvlanL2: Spec = {
	name: 'ipvlan-l2',
	models: 'the ipvlan plugin in mode l2',
	needs: [device('ipvlan', 'mode l2', true)],
	modes: ['XDP', 'TC'],
	build: build('ipvlan mode l2'),
	podsUnseen: true,
	localSource: shim(1),
	degraded: [UNSEEN, UNREFUSED],
};

export const ipvlanL3: Spec = {
	name: 'ipvlan-l3',
	models: 'the ipvlan plugin in mode l3: Alibaba Terway, Netflix Titus',
	needs: [device('ipvlan', 'mode l3', true)],
	modes: ['XDP', 'TC'],
	build: build('ipvlan mode l3', true),
	podsUnseen: true,
	localSource: shim(1),
	degraded: [UNSEEN, UNREFUSED],
};
