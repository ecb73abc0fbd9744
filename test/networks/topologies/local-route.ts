/**
 * A load balancer address that is local to the node. Cloud agents add a local route (GCP's guest
 * agent: `ip route add to local ADDRESS dev eth0 proto 66`), MetalLB in layer 2 mode and kube-vip
 * add it to lo. Packets for it arrive unchanged.
 */
import { expect } from 'vitest';
import { CLIENT } from '../../netns/dataplane/topology.ts';
import { expectAnswers, expectRefused } from '../checks/expectations.ts';
import { type Check, inUrl, toBalancer } from '../support/check.ts';
import { BALANCERS, type Lab } from '../support/lab.ts';
import { balancer, HEALTH_PORT } from '../support/objects.ts';
import type { Spec } from '../support/spec.ts';

const AGENT_HEALTH_PORT = 10_256;
const OWN_PORT = 8090;

const LOCAL_POLICY: Check = {
	id: 'policy-local',
	title: 'externalTrafficPolicy Local at the address: the pod sees the client',
	run: (site, { family }) =>
		expectAnswers(site, 'client', toBalancer('policyLocal', family), 'pod1a', CLIENT[family]),
};

const PROBES: Check = {
	id: 'balancer-probes',
	title: 'a load balancer’s probes of healthCheckNodePort and of 10256 at the address are answered',
	async run(site, { family }) {
		for (const port of [HEALTH_PORT, AGENT_HEALTH_PORT]) {
			const path = port === AGENT_HEALTH_PORT ? 'healthz' : '';
			const url = `http://${inUrl(balancer('policyLocal', family))}:${port}/${path}`;
			const failed = (error: { code: string }) => error.code;
			const answer = await site.peer('client').call('get', { url }).catch(failed);
			expect(answer, url).toEqual({ status: 200 });
		}
	},
};

const OTHER_PORTS: Check = {
	id: 'balancer-other-ports',
	title: "other ports of the address are the node's: served where a process listens, refused where none does",
	async run(site, { family, mode }) {
		const address = balancer('local', family);
		const port = OWN_PORT + (mode === 'XDP' ? 0 : 1);
		// bind to all addresses, because IPv6 refuses an address that is local by route only
		const any = family === 'v4' ? '0.0.0.0' : '::';
		await site.peer('host').call('serveTcp', { name: 'node1', address: any, port });
		await expectAnswers(site, 'client', { address, port }, 'node1', CLIENT[family], ['tcp']);
		await expectRefused(site, 'client', { address, port: port + 2 });
	},
};

const build = (route: (lab: Lab) => void) => (lab: Lab) => {
	lab.outside();
	lab.nodes();
	lab.pods();
	lab.podRoutes();
	lab.podsFromOutside();
	lab.balancers();
	route(lab);
};
const CHECKS = [LOCAL_POLICY, PROBES, OTHER_PORTS];

export const localRoute: Spec = {
	name: 'local-route',
	models: 'GKE and other clouds whose agents add `ip route add local VIP dev eth0`',
	modes: ['XDP', 'TC'],
	build: build(({ net }) => {
		net.ip('node1', `route add local ${BALANCERS.v4} dev eth0`, `route add local ${BALANCERS.v6} dev eth0`);
	}),
	checks: CHECKS,
};

export const addressOnLo: Spec = {
	name: 'address-on-lo',
	models: 'kube-vip, keepalived and DSR load balancers, which put the address on lo',
	modes: ['XDP', 'TC'],
	build: build(({ net }) => {
		const names = ['local', 'remote', 'policyLocal'] as const;
		const addresses = names.flatMap((name) => [balancer(name, 'v4'), balancer(name, 'v6')]);
		net.ip(
			'node1',
			...addresses.map((one) => `address add ${one}/${one.includes(':') ? '128' : '32'} dev lo`),
		);
	}),
	checks: CHECKS,
};
