/** Checks of the path itself: narrow links, fragments, and servers of the node. */
import { expect } from 'vitest';
import { openNative } from '../../../agent/bpf/ffi/native.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';
import { CLIENT, nodeOf, podOf } from '../../netns/dataplane/topology.ts';
import { packet } from '../../packet/builder.ts';
import { fragments } from '../../packet/fragments.ts';
import { type Check, inUrl, PATIENCE, type Site, toNodePort } from '../support/check.ts';
import { HEALTH_PORT } from '../support/objects.ts';
import { sendPackets } from '../support/raw.ts';
import type { Family } from '../support/spec.ts';
import { expectBulk } from './expectations.ts';
import { localSourceOf, sourceOf } from './outside.ts';

const BACKENDS = [
	['local', 'pod1a'],
	['remote', 'pod2a'],
] as const;
const NARROW_CLIENT = 1300;
const NARROW_BACKEND = 1320;
const SMALL_BULK = 400_000;
const AGENT_HEALTH_PORT = 10_256;
/**
 * Larger than any MTU here. Its fragments of CUT bytes are shorter than HELD_BYTES, so a node can
 * hold them.
 */
const DATAGRAM = 4000;
/** Bytes of transport payload in one fragment. */
const CUT = 1208;
/** Orders of four fragments: the first one arrives second, or last. */
const ORDERS = [
	[1, 0, 2, 3],
	[3, 2, 1, 0],
] as const;

/** Flushes the learnt path MTUs of all namespaces. */
function forget(site: Site, family: Family): void {
	for (const ns of ['client', 'far', 'node1', 'node2', 'pod1a', 'pod2a'])
		site.lab.net.ipOf(family, ns, 'route flush cache');
}

interface End {
	readonly ns: string;
	readonly dev: string;
}

/**
 * The MSS that a host announces on every link. A smaller one would prevent the large segments that
 * this check needs.
 */
const SEGMENT = { v4: 1460, v6: 1440 } as const;

/**
 * Reduces the MTU at both ends of a link, because a veth drops packets larger than the MTU of its
 * peer.
 * @returns a function that restores it
 */
function squeeze({ lab: { net } }: Site, family: Family, near: End, host: End, mtu: number): () => void {
	const before = [near, host].map(({ ns, dev }) => /mtu (\d+)/.exec(net.ip(ns, `link show ${dev}`))![1]);
	const ip = (line: string) => net.ipOf(family, host.ns, line);
	const route = ip('route show default').trim().split('\n')[0]!.trim();
	for (const { ns, dev } of [near, host]) net.ip(ns, `link set ${dev} mtu ${mtu}`);
	ip(`route change ${route} advmss ${SEGMENT[family]}`);
	return () => {
		ip(`route change ${route}`);
		[near, host].forEach(({ ns, dev }, i) => void net.ip(ns, `link set ${dev} mtu ${before[i]}`));
	};
}

/** The number of packet-too-big errors that a namespace has received. */
function tooBig({ lab: { net } }: Site, ns: string, family: Family): number {
	if (family === 'v6')
		return Number(/^Icmp6InPktTooBigs\s+(\d+)/m.exec(net.exec(ns, 'cat', '/proc/net/snmp6'))![1]);
	const [names, values] = [...net.exec(ns, 'cat', '/proc/net/snmp').matchAll(/^Icmp: (.*)$/gm)].map(
		([, text]) => text!.split(' '),
	);
	return Number(values![names!.indexOf('InDestUnreachs')]);
}

/**
 * Runs long transfers through the Services of some pods over a narrow link. Each sender must
 * receive an ICMP error.
 */
async function narrow(
	site: Site,
	family: Family,
	[near, host, mtu]: readonly [near: End, host: End, mtu: number],
	pods: readonly string[],
): Promise<void> {
	const undo = squeeze(site, family, near, host, mtu);
	forget(site, family);
	try {
		for (const [service, pod] of BACKENDS) {
			if (!pods.includes(pod)) continue;
			const sender = host.ns === 'far' ? pod : 'far';
			const before = tooBig(site, sender, family);
			await expectBulk(site, 'far', toNodePort(service, family), SMALL_BULK);
			expect(tooBig(site, sender, family), `errors to ${sender}`).toBeGreaterThan(before);
		}
	} finally {
		undo();
		forget(site, family);
	}
}

let nextPort = 20_000;

/**
 * Expects an answer to a complete datagram whose fragments arrive out of order. The sending socket
 * must receive the answer.
 */
async function expectReordered(site: Site, family: Family): Promise<void> {
	using switcher = new NetnsSwitcher();
	const native = openNative('koffi');
	const src = CLIENT[family];
	for (const [service, pod] of BACKENDS)
		for (const order of ORDERS) {
			const { address: dst, port: dport } = toNodePort(service, family);
			const sport = nextPort++;
			const { handle } = await site.peer('client').call('udpBind', { address: src, port: sport });
			const answer = site.peer('client').call('udpHear', { handle, timeout: PATIENCE });
			const whole = packet().eth().ip({ src, dst }).udp({ sport, dport }).payload('padded'.padEnd(DATAGRAM));
			const cut = fragments(whole.bytes(), CUT, sport).map((frame) => frame.subarray(14));
			switcher.within(site.lab.net.name('client'), () =>
				sendPackets(
					native,
					dst,
					order.map((i) => cut[i]!),
				),
			);
			const heard = await answer.catch((error: Error) => error.message);
			expect(heard, `${service}, order ${order}`).toMatchObject({
				name: pod,
				peerAddress: dst,
				peerPort: dport,
			});
		}
}

export const PATHS: readonly Check[] = [
	{
		id: 'pmtu-client',
		title: 'a narrow link towards the client: long transfers find its size',
		run(site, { family }) {
			const link = [{ ns: 'client', dev: 'far' }, { ns: 'far', dev: 'eth0' }, NARROW_CLIENT] as const;
			return narrow(
				site,
				family,
				link,
				BACKENDS.map(([, pod]) => pod),
			);
		},
	},
	{
		id: 'pmtu-backend',
		title: 'a narrow link towards the pod: long transfers find its size',
		applies: ({ podsUnseen }) => !podsUnseen,
		async run(site, { family }) {
			for (const { name, node, device } of ['pod1a', 'pod2a'].map(podOf)) {
				const link = [{ ns: node, dev: device }, { ns: name, dev: 'eth0' }, NARROW_BACKEND] as const;
				await narrow(site, family, link, [name]);
			}
		},
	},
	{
		id: 'fragments',
		title: 'datagrams beyond the MTU, and answers as large',
		async run(site, { family }) {
			for (const [service, pod] of BACKENDS) {
				const to = { ...toNodePort(service, family), bytes: DATAGRAM, timeout: PATIENCE };
				// the first datagram may only discover the MTU of an overlay
				const ask = (more: object = {}) =>
					site
						.peer('client')
						.call('udpPadded', { ...to, ...more })
						.catch((error: Error) => error.message);
				await ask({ timeout: 300 });
				const seenAddress =
					service === 'local' ? localSourceOf(site.spec, family) : sourceOf(site.spec, family);
				const { address: peerAddress, port: peerPort } = to;
				expect(await ask(), service).toMatchObject({ name: pod, seenAddress, peerAddress, peerPort });
			}
		},
	},
	{
		id: 'fragments-disorder',
		title: 'fragments out of order',
		run: (site, { family }) => expectReordered(site, family),
	},
	{
		id: 'health',
		title: "the agent's health, and a Service's healthCheckNodePort, at the node's address",
		async run(site, { family }) {
			const address = inUrl(nodeOf('node1')[family]);
			for (const where of [`${address}:${AGENT_HEALTH_PORT}/healthz`, `${address}:${HEALTH_PORT}/`]) {
				const failed = (error: { code: string }) => error.code;
				// the agent opens the servers of healthCheckNodePorts within a second
				await expect
					.poll(
						() =>
							site
								.peer('client')
								.call('get', { url: `http://${where}` })
								.catch(failed),
						{ timeout: 4000, message: where },
					)
					.toEqual({ status: 200 });
			}
		},
	},
];
