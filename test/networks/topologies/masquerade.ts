/**
 * A CNI that masquerades packets of pods to the outside with flannel's four rules
 * (pkg/trafficmngr). ip-masq-agent and portmap's bridge plugin have similar rules. The outside sees
 * no pod address. netfilter may choose any source port, even the number of a NodePort.
 */
import { NODES } from '../../netns/dataplane/topology.ts';
import { ALL_PODS, type Lab } from '../support/lab.ts';
import { accept, from, masquerade, netfilter, notFrom, notTo, to } from '../support/nft.ts';
import { FAMILIES, type Spec } from '../support/spec.ts';

/** Adds FLANNEL-POSTRTG without --random-fully, so that netfilter keeps a free source port. */
export function flannelRules({ net }: Lab): void {
	for (const node of NODES)
		for (const family of FAMILIES) {
			const all = ALL_PODS[family];
			const own = family === 'v4' ? node.podsV4 : node.podsV6;
			netfilter(
				...[net.name(node.name), family, 'postrouting' as const],
				[...from(all), ...to(all), ...accept()],
				[...from(all), ...notTo(family === 'v4' ? '224.0.0.0/8' : 'ff00::/8'), ...masquerade()],
				[...notFrom(all), ...to(own), ...accept()],
				[...notFrom(all), ...to(all), ...masquerade()],
			);
		}
}

export const masqueradingCni: Spec = {
	name: 'masquerade',
	models: 'flannel host-gw and the bridge plugin with ipMasq, ip-masq-agent of GKE',
	modes: ['XDP', 'TC'],
	build(lab) {
		lab.outside();
		lab.nodes();
		lab.pods();
		lab.podRoutes();
		lab.balancers();
		flannelRules(lab);
	},
	masquerade: true,
};
