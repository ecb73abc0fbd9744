/**
 * Runs a DNS server for a given number of Services in a process of its own. It prints its port and
 * exits when its stdin ends.
 */
import { Registry } from 'prom-client';
import { listen } from '../../agent/dns/listener.ts';
import { dnsMetrics } from '../../agent/dns/metrics.ts';
import { Resolver } from '../../agent/dns/resolver.ts';
import { parseDnsService } from '../../agent/dns/service.ts';
import { Zone } from '../../agent/dns/zone.ts';
import { addressOf, serviceKey } from './dns-names.ts';

const zone = new Zone({ name: 'cluster.local', server: 'kube-system/kube-dns', reverse: [] });
for (let i = 0; i < Number(process.argv[2]); i++) {
	const spec = { clusterIP: addressOf(i), ports: [{ name: 'http', port: 80 }] };
	zone.setService(serviceKey(i), parseDnsService({ spec }, serviceKey(i)), []);
}
const metrics = dnsMetrics(new Registry(), { names: () => zone.size, cached: () => 0 });
const resolver = new Resolver({ zone, synced: () => true, observe: metrics.answered });
const { port } = await listen({ host: '127.0.0.1', port: 0 }, resolver);
console.log(port);
process.stdin.resume().on('end', () => process.exit());
