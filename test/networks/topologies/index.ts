/**
 * All topologies, in the order of docs/networks.md. A new topology needs a file and a line here.
 */
import type { Spec } from '../support/spec.ts';
import { awsVpc } from './aws-vpc.ts';
import { bridgeCni } from './bridge-cni.ts';
import { flat } from './flat.ts';
import { addressOnLo, localRoute } from './local-route.ts';
import { ipvlanL2, ipvlanL3, macvlan } from './macvlan.ts';
import { masqueradingCni } from './masquerade.ts';
import { netkitL2, netkitL3 } from './netkit.ts';
import { geneve, ipip, wireguard } from './overlays.ts';
import { policySource } from './policy-source.ts';
import { sctp } from './sctp.ts';
import { tunPods, tunUplink } from './tun.ts';
import { twoNics } from './two-nics.ts';
import { bondUplink, bridgeUplink, vlanUplink } from './uplinks.ts';
import { vxlan } from './vxlan.ts';

export const TOPOLOGIES: readonly Spec[] = [
	flat,
	vxlan,
	geneve,
	ipip,
	wireguard,
	twoNics,
	policySource,
	awsVpc,
	masqueradingCni,
	localRoute,
	addressOnLo,
	bridgeCni,
	macvlan,
	ipvlanL2,
	ipvlanL3,
	bridgeUplink,
	vlanUplink,
	bondUplink,
	tunUplink,
	tunPods,
	netkitL2,
	netkitL3,
	sctp,
];
