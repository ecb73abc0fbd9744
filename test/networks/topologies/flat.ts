/**
 * Native routing: nodes on one Ethernet, pod ranges routed through node addresses, a veth for each
 * pod.
 */
import { CLIENT } from '../../netns/dataplane/topology.ts';
import { expectAnswers } from '../checks/expectations.ts';
import { type Check, toNodePort } from '../support/check.ts';
import type { Spec } from '../support/spec.ts';

/**
 * An address of the reserved class E. Linux routes it like any other, and some providers assign it
 * to clients.
 */
const CLASS_E = '240.1.2.3';

const CLIENT_240: Check = {
	id: 'client-240',
	title: 'a client in 240.0.0.0/4, whom the node itself answers, reaches NodePorts',
	families: ['v4'],
	async run(site, { mode }) {
		const own = { address: '192.168.10.11', port: mode === 'XDP' ? 8090 : 8091, localAddress: CLASS_E };
		await site.peer('host').call('serveTcp', { name: 'node1', address: own.address, port: own.port });
		await expectAnswers(site, 'client', own, 'node1', CLASS_E, ['tcp']);
		for (const [service, pod] of [
			['local', 'pod1a'],
			['remote', 'pod2a'],
		] as const)
			await expectAnswers(site, 'client', { ...toNodePort(service, 'v4'), localAddress: CLASS_E }, pod);
	},
};

export const flat: Spec = {
	name: 'flat',
	models: 'kind, Calico or Cilium without an overlay, cloud routes (GKE, Azure)',
	modes: ['XDP', 'TC'],
	build(lab) {
		lab.outside();
		lab.nodes();
		lab.pods();
		lab.podRoutes();
		lab.podsFromOutside();
		lab.balancers();
		lab.net.ip('client', `address add ${CLASS_E}/32 dev br0`);
		lab.net.ip('node1', `route add ${CLASS_E} via ${CLIENT.v4}`);
	},
	checks: [CLIENT_240],
};
