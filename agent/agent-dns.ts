import { readFile } from 'node:fs/promises';
import type { Registry } from 'prom-client';
import type { AgentOptions } from './agent.ts';
import { Feed, type FeedSink } from './dns/feed.ts';
import { Forwarder } from './dns/forwarder.ts';
import type { ListenAddress } from './dns/listener.ts';
import { dnsMetrics } from './dns/metrics.ts';
import { resolvConfServers } from './dns/resolv-conf.ts';
import { Resolver } from './dns/resolver.ts';
import { DnsServer } from './dns/server.ts';
import { Zone } from './dns/zone.ts';
import { parseCidr } from './model/cidr.ts';
import { ipOfBytes, parseIp } from './model/ip.ts';
import type { OwnServer } from './model/own-server.ts';
import type { RawSink, ReconcilerOptions } from './reconcile-types.ts';

/** Port of DNS, of the Service as of others' servers. */
const DNS_PORT = 53;
const RESOLV_CONF = '/etc/resolv.conf';

/** The DNS server of an agent; present only with --dns. */
export interface AgentDns {
	readonly changed: NonNullable<ReconcilerOptions['changed']>;
	readonly namespaces: FeedSink;
	/** The same sink; the names of Services follow it. */
	services(sink: RawSink): RawSink;
	/** The node's own addresses, at which it answers unless others were chosen. */
	setNodeAddresses(addresses: readonly string[]): void;
	/** First nothing points to it any more, then it ends. */
	close(withdrawn: () => void): Promise<void>;
}

/**
 * Names of the cluster, served on this node.
 *
 * @param own told where the server is, whenever it is ready to be the Service's backend here, and when not any more
 */
export function startDns(
	{ config, log, clock }: AgentOptions,
	registry: Registry,
	own: (server: OwnServer) => void,
): AgentDns | undefined {
	const { dns, dnsDomain, dnsService, dnsReverse } = config;
	if (dns.length === 0) return undefined;
	const reverse = dnsReverse.flatMap((text) => parseCidr(text) ?? []);
	const zone = new Zone({ name: dnsDomain, server: dnsService, reverse });
	const feed = new Feed(zone, () => announce());
	const recursion = config.dnsUpstream === 'off' ? undefined : forwarder();
	const metrics = dnsMetrics(registry, { names: () => zone.size, cached: () => recursion?.cached ?? 0 });
	const resolver = new Resolver({
		zone,
		synced: () => feed.synced,
		recursion,
		observe: metrics.answered,
	});
	let withdrawn = false;
	const server = new DnsServer({
		resolver,
		log: log.child({ part: 'dns' }),
		after: (ms, run) => clock.after(ms, run),
		changed: () => announce(),
	});
	const announce = (): void => {
		const ready = feed.synced && !withdrawn ? server.addresses : [];
		const addresses = ready.map(({ host, port }) => ({ ip: parseIp(host)!, port }));
		own({ service: dnsService, port: DNS_PORT, addresses });
	};

	function forwarder(): Forwarder {
		return new Forwarder({
			servers: async () => (await upstreams(config.dnsUpstream)).filter(({ host }) => !isOwn(host)),
			now: () => clock.now(),
			observe: (what) => metrics.forwarded(what),
		});
	}

	/** A node whose resolv.conf names the cluster's DNS would ask itself for ever. */
	function isOwn(host: string): boolean {
		const { a = [], aaaa = [] } = zone.find(zone.server) ?? {};
		const cluster = [...a.map((bytes) => bytes.join('.')), ...aaaa.map((bytes) => ipOfBytes(bytes).text)];
		return (
			cluster.includes(host) || server.addresses.some((each) => each.host === host && each.port === DNS_PORT)
		);
	}

	let node: readonly string[] = [];
	const listen = (): void => {
		void server.setAddresses(dns.flatMap((address) => specified(address, node)));
	};
	listen();
	return {
		changed: (keys, sources) => feed.update(keys, sources),
		namespaces: feed.namespaces,
		services: (sink) => ({
			upsert(key, object) {
				feed.setService(key, object);
				sink.upsert(key, object);
			},
			remove(key) {
				feed.setService(key, undefined);
				sink.remove(key);
			},
			listed: () => sink.listed(),
		}),
		setNodeAddresses(addresses) {
			if (addresses.join() === node.join()) return;
			node = addresses;
			listen();
		},
		async close(unpoint) {
			withdrawn = true;
			announce();
			unpoint();
			await server.close();
		},
	};
}

/** An unspecified address stands for the node's: what is sent from another would not look like the Service's answer. */
function specified({ host, port }: ListenAddress, node: readonly string[]): ListenAddress[] {
	if (host === '::') return node.map((each) => ({ host: each, port }));
	if (host === '0.0.0.0')
		return node.filter((each) => !each.includes(':')).map((each) => ({ host: each, port }));
	return [{ host, port }];
}

async function upstreams(chosen: AgentOptions['config']['dnsUpstream']) {
	if (typeof chosen !== 'string') return chosen;
	// read each time: the node's network may change while the agent runs
	return resolvConfServers(await readFile(RESOLV_CONF, 'utf8').catch(() => ''));
}
