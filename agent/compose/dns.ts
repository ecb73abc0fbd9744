import { readFile } from 'node:fs/promises';
import type { Registry } from 'prom-client';
import type { Sink } from '../base/sink.ts';
import type { ListenAddress } from '../dns/address.ts';
import { Feed } from '../dns/feed.ts';
import { Forwarder } from '../dns/forwarder.ts';
import { dnsMetrics } from '../dns/metrics.ts';
import { resolvConfServers } from '../dns/resolv-conf.ts';
import { Resolver } from '../dns/resolver.ts';
import { DnsServer } from '../dns/server.ts';
import { Zone } from '../dns/zone.ts';
import type { ReconcilerOptions } from '../loop/reconcile-types.ts';
import { parseCidr } from '../model/cidr.ts';
import { ipOfBytes, parseIp } from '../model/ip.ts';
import type { OwnServer } from '../model/own-server.ts';
import type { AgentOptions } from './options.ts';

/** Port of DNS, for the Service as for upstream servers. */
const DNS_PORT = 53;
const RESOLV_CONF = '/etc/resolv.conf';

/** Called when the server becomes the Service's backend on this node, moves, or is withdrawn. */
export type OwnServerListener = (server: OwnServer) => void;

/** @returns undefined without --dns */
export function startDns(
	options: AgentOptions,
	registry: Registry,
	own: OwnServerListener,
): AgentDns | undefined {
	return options.config.dns.length > 0 ? new AgentDns(options, registry, own) : undefined;
}

/** Serves the cluster's names on this node. */
export class AgentDns {
	readonly #config: AgentOptions['config'];
	readonly #own: OwnServerListener;
	readonly #zone: Zone;
	readonly #feed: Feed;
	readonly #server: DnsServer;
	/** The node's own addresses, at which it answers unless others are configured. */
	#node: readonly string[] = [];
	#withdrawn = false;

	constructor({ config, log, clock }: AgentOptions, registry: Registry, own: OwnServerListener) {
		const { dnsDomain: name, dnsService: server, dnsReverse } = config;
		this.#config = config;
		this.#own = own;
		this.#zone = new Zone({ name, server, reverse: dnsReverse.flatMap((text) => parseCidr(text) ?? []) });
		this.#feed = new Feed(this.#zone, () => this.#announce());
		const metrics = dnsMetrics(registry, {
			names: () => this.#zone.size,
			cached: () => recursion?.cached ?? 0,
		});
		const forwarder = {
			servers: () => this.#upstreams(),
			now: () => clock.now(),
			observe: metrics.forwarded,
		};
		const recursion = config.dnsUpstream === 'off' ? undefined : new Forwarder(forwarder);
		this.#server = new DnsServer({
			resolver: new Resolver({
				zone: this.#zone,
				synced: () => this.#feed.synced,
				recursion,
				observe: metrics.answered,
			}),
			log: log.child({ part: 'dns' }),
			after: (ms, run) => clock.after(ms, run),
			changed: () => this.#announce(),
		});
		this.#listen();
	}

	/** Services that changed, with their endpoint objects. */
	readonly changed: NonNullable<ReconcilerOptions['changed']> = (keys, sources) =>
		this.#feed.update(keys, sources);

	get namespaces(): Sink {
		return this.#feed.namespaces;
	}

	/** The same sink; the zone follows the names of its Services. */
	services(sink: Sink): Sink {
		return this.#feed.services(sink);
	}

	setNodeAddresses(addresses: readonly string[]): void {
		if (addresses.join() === this.#node.join()) return;
		this.#node = addresses;
		this.#listen();
	}

	/**
	 * Closes the server.
	 * @param withdrawn called when it is no longer announced, but still answers
	 */
	async close(withdrawn: () => void): Promise<void> {
		this.#withdrawn = true;
		this.#announce();
		withdrawn();
		await this.#server.close();
	}

	#listen(): void {
		const addresses = this.#config.dns.flatMap((address) => specified(address, this.#node));
		void this.#server.setAddresses(addresses);
	}

	#announce(): void {
		const ready = this.#feed.synced && !this.#withdrawn ? this.#server.addresses : [];
		const addresses = ready.map(({ host, port }) => ({ ip: parseIp(host)!, port }));
		this.#own({ service: this.#config.dnsService, port: DNS_PORT, addresses });
	}

	/** Without the cluster's DNS: a node whose resolv.conf names it would query itself forever. */
	async #upstreams(): Promise<ListenAddress[]> {
		const { a = [], aaaa = [] } = this.#zone.find(this.#zone.server) ?? {};
		const cluster = [...a.map((bytes) => bytes.join('.')), ...aaaa.map((bytes) => ipOfBytes(bytes).text)];
		const own = this.#server.addresses.filter(({ port }) => port === DNS_PORT).map(({ host }) => host);
		const servers = await upstreamServers(this.#config.dnsUpstream);
		return servers.filter(({ host }) => !cluster.includes(host) && !own.includes(host));
	}
}

/** An unspecified address means those of the node: the source of an answer must match its query. */
function specified({ host, port }: ListenAddress, node: readonly string[]): ListenAddress[] {
	if (host === '::') return node.map((each) => ({ host: each, port }));
	if (host === '0.0.0.0')
		return node.filter((each) => !each.includes(':')).map((each) => ({ host: each, port }));
	return [{ host, port }];
}

async function upstreamServers(
	chosen: AgentOptions['config']['dnsUpstream'],
): Promise<readonly ListenAddress[]> {
	if (typeof chosen !== 'string') return chosen;
	// read at each query: the node's network may change while the agent runs
	return resolvConfServers(await readFile(RESOLV_CONF, 'utf8').catch(() => ''));
}
