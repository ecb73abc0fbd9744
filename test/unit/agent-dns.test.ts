import dgram from 'node:dgram';
import { once } from 'node:events';
import packet from 'dns-packet';
import { Registry } from 'prom-client';
import { afterEach, expect, test, vi } from 'vitest';
import { systemClock } from '../../agent/base/clock.ts';
import { type AgentDns, startDns } from '../../agent/compose/dns.ts';
import type { AgentOptions } from '../../agent/compose/options.ts';
import { loadConfig } from '../../agent/config.ts';
import { endpointText } from '../../agent/model/ip.ts';
import type { OwnServer } from '../../agent/model/own-server.ts';
import { queryOf, service } from './dns-rig.ts';

const KEY = 'kube-system/kube-dns';
const NAME = 'kube-dns.kube-system.svc.cluster.local';
const nothing = { upsert() {}, remove() {}, listed() {} };
const silent = { info() {}, warn() {}, child: () => silent };

let dns: AgentDns;
/** The addresses of each move of the DNS server. */
let told: string[][];
let registry: Registry;

async function start(flags: Record<string, string>): Promise<void> {
	const config = await loadConfig(flags, {});
	const options = { config, log: silent, clock: systemClock } as unknown as AgentOptions;
	told = [];
	registry = new Registry();
	const own = ({ service, port, addresses }: OwnServer) => {
		expect([service, port]).toEqual([KEY, 53]);
		told.push(addresses.map((each) => endpointText(each.ip, each.port)));
	};
	dns = startDns(options, registry, own)!;
}

/** Lists all objects. kube-dns is the only one. */
function list(): void {
	const sink = dns.services(nothing);
	sink.upsert(KEY, service(KEY, { clusterIPs: ['127.0.0.9'], ports: [{ name: 'dns', port: 53 }] }));
	dns.namespaces.listed();
	dns.changed(new Set([KEY]), () => []);
}

async function ask(address: string, name: string): Promise<string> {
	const [, host = '', port] = /^\[?(.*?)\]?:(\d+)$/.exec(address)!;
	const socket = dgram.createSocket('udp4');
	socket.send(queryOf(name, 'A'), Number(port), host);
	const [answer] = (await once(socket, 'message')) as [Buffer];
	socket.close();
	return packet.decode(answer).rcode;
}

const listening = () => vi.waitFor(() => expect(told.at(-1)).toHaveLength(1));

afterEach(() => dns?.close(() => {}));

test('without --dns there is none', async () => {
	await start({});
	expect(dns).toBeUndefined();
});

test('the server is the local backend when it listens and knows all names, whichever comes first', async () => {
	await start({ dns: ':0', dnsUpstream: 'off' });
	list();
	expect(told.flat()).toEqual([]);
	dns.setNodeAddresses(['127.0.0.1']);
	await listening();
	expect(await ask(told.at(-1)![0]!, NAME)).toBe('NOERROR');
	expect(await registry.metrics()).toContain('maglane_dns_responses_total{rcode="NOERROR"} 1');
});

test('the server follows the addresses of its node', async () => {
	await start({ dns: '0.0.0.0:0' });
	list();
	dns.setNodeAddresses(['127.0.0.1', '::1']);
	await listening();
	dns.setNodeAddresses(['127.0.0.2']);
	await vi.waitFor(() => expect(told.at(-1)).toEqual([expect.stringMatching(/^127\.0\.0\.2:/)]));
});

test('at its end nothing points to the server any more before its address is free', async () => {
	await start({ dns: '127.0.0.1:0' });
	list();
	await listening();
	const port = Number(told.at(-1)![0]!.split(':')[1]);
	let withdrawn = false;
	await dns.close(() => {
		withdrawn = told.at(-1)!.length === 0;
	});
	expect(withdrawn).toBe(true);
	const socket = dgram.createSocket('udp4').bind(port, '127.0.0.1');
	await once(socket, 'listening');
	socket.close();
});

test("a node whose resolv.conf names the cluster's DNS does not ask itself", async () => {
	await start({ dns: '127.0.0.1:0', dnsUpstream: '127.0.0.9' });
	list();
	await listening();
	expect(await ask(told.at(-1)![0]!, 'example.com')).toBe('SERVFAIL');
	expect(await registry.metrics()).toContain('maglane_dns_forward_failures_total 1');
});
