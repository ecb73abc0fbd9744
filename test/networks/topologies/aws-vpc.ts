/**
 * AWS VPC CNI. pod1a has an address of the second ENI, whose routing table its packets use.
 * Connections that enter by eth0 for a node address get a mark (AWS-CONNMARK-CHAIN), so that
 * replies of such pods leave by eth0 again. The fabric drops packets that leave an ENI with the
 * address of another. The rules follow routing.go and networkutils.go.
 */
import { NODES, PODS, podOf } from '../../netns/dataplane/topology.ts';
import type { Lab } from '../support/lab.ts';
import { drop, from, inBy, netfilter, restoreMark, setConnectionMark, toLocal } from '../support/nft.ts';
import { FAMILIES, type Spec } from '../support/spec.ts';

const MARK = 0x80;
const ROUTER = { v4: '172.16.0.100', v6: 'fd00:172::100' };
const ENI = { v4: '172.16.0.11', v6: 'fd00:172::11' };

function marks(lab: Lab): void {
	for (const node of NODES)
		for (const family of FAMILIES) {
			netfilter(
				...[lab.net.name(node.name), family, 'mangle' as const],
				[...inBy('eth0'), ...toLocal(), ...setConnectionMark(MARK)],
				[...inBy('vpod*'), ...restoreMark()],
			);
			lab.rule(node.name, family, `priority 1024 fwmark ${MARK}/${MARK} lookup main`);
			for (const pod of PODS.filter((one) => one.node === node.name))
				lab.rule(node.name, family, `priority 512 to ${pod[family]} lookup main`);
		}
}

/** Routes pod1a by the table of eth1. */
function secondEni(lab: Lab): void {
	const { net } = lab;
	const pod = podOf('pod1a');
	net.ip(
		'node1',
		`address add ${ENI.v4}/24 dev eth1`,
		`address add ${ENI.v6}/64 dev eth1 nodad`,
		`route add default via ${ROUTER.v4} dev eth1 table 2`,
		`route add default via ${ROUTER.v6} dev eth1 table 2`,
	);
	for (const family of FAMILIES) lab.rule('node1', family, `priority 1536 from ${pod[family]} lookup 2`);
	net.ip('client', `route add ${pod.v4} via ${ENI.v4}`, `route add ${pod.v6} via ${ENI.v6}`);
}

export const awsVpc: Spec = {
	name: 'aws-vpc',
	models: 'Amazon VPC CNI: tables by secondary ENI, connection marks',
	modes: ['XDP', 'TC'],
	agent: ['--devices=eth0,eth1'],
	build(lab) {
		lab.outside();
		lab.bridge('br1', `${ROUTER.v4}/24`, `${ROUTER.v6}/64`);
		lab.nodes();
		for (const node of NODES) lab.wire(node, { device: 'eth1', bridge: 'br1' });
		lab.pods();
		lab.podRoutes();
		lab.podsFromOutside();
		secondEni(lab);
		marks(lab);
		lab.balancers();
		// the fabric accepts only an ENI's own addresses
		for (const family of FAMILIES) {
			const nodes = family === 'v4' ? '192.168.10.0/24' : 'fd00:10::/64';
			netfilter(lab.net.name('client'), family, 'mangle', [...inBy('br1'), ...from(nodes), ...drop()]);
		}
	},
};
