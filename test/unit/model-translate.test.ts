import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseEndpointSlice } from '../../agent/model/endpoints.ts';
import { parseNode } from '../../agent/model/node.ts';
import { parseService } from '../../agent/model/service.ts';
import { type Frontend, translate } from '../../agent/model/translate.ts';
import { node, service, slice } from './reconcile-objects.ts';

const NODE = parseNode(node(['192.168.10.11', '192.168.10.12', 'fd00:10::11']), 'node1').value;
const SERVICE = (options: Parameters<typeof service>[1]) =>
	parseService(service('ns/a', options), 'ns/a').value;
const SLICE = (...args: Parameters<typeof slice>) => parseEndpointSlice(slice(...args), 'ns/a-x').value;
const text = (frontends: readonly Frontend[]) =>
	frontends.map((f) => `${f.claim} ${f.scope} ${f.backends.map((b) => b.key).join(',')}`);

describe('translate()', () => {
	it('gives the endpoints of 4 ports of mixed names and protocols to the right ports (B-03)', () => {
		const ports = [
			{ name: 'http', port: 80 },
			{ name: 'https', port: 443 },
			{ name: 'dns-udp', port: 53, protocol: 'UDP' },
			{ name: 'dns-tcp', port: 53, protocol: 'TCP' },
		];
		const targets = [
			{ name: 'http', port: 80 },
			{ name: 'https', port: 8443 },
			{ name: 'dns-udp', port: 53, protocol: 'UDP' },
			{ name: 'dns-tcp', port: 5353, protocol: 'TCP' },
			{ name: 'http', port: 99, protocol: 'UDP' },
		];
		const { frontends } = translate(
			SERVICE({ ips: ['172.30.0.42'], ports }),
			[SLICE('a', ['10.180.0.1', '10.180.2.1'], targets)],
			NODE,
		);
		expect(text(frontends.filter((f) => f.scope === 'internal'))).toEqual([
			'172.30.0.42:443/tcp internal 10.180.0.1:8443/tcp,10.180.2.1:8443/tcp',
			'172.30.0.42:53/tcp internal 10.180.0.1:5353/tcp,10.180.2.1:5353/tcp',
			'172.30.0.42:53/udp internal 10.180.0.1:53/udp,10.180.2.1:53/udp',
			'172.30.0.42:80/tcp internal 10.180.0.1:80/tcp,10.180.2.1:80/tcp',
		]);
	});

	it('takes an endpoint that is in two slices once, with what either says (B R-7)', () => {
		const unready = { ip: '10.0.0.1', conditions: { ready: false } };
		const ready = { ip: '10.0.0.1', node: 'node1' };
		for (const slices of [
			[unready, ready],
			[ready, unready],
		]) {
			const { frontends } = translate(
				SERVICE({}),
				slices.map((e) => SLICE('a', [e])),
				NODE,
			);
			expect(frontends[0]?.backends).toMatchObject([{ key: '10.0.0.1:8080/tcp', local: true }]);
		}
	});

	it('serves NodePorts at every address of the node of the families that the Service has, and on loopback', () => {
		const ports = [{ port: 80, nodePort: 30080 }];
		const claims = (ips: readonly string[]) =>
			translate(SERVICE({ ips, ports, spec: { type: 'NodePort' } }), [], NODE)
				.frontends.filter((f) => f.kind === 'nodeport' && f.scope === 'internal')
				.map((f) => `${f.claim}${f.loopback ? ' loopback' : ''}`);
		const v4 = ['127.0.0.1:30080/tcp loopback', '192.168.10.11:30080/tcp', '192.168.10.12:30080/tcp'];
		const v6 = ['[::1]:30080/tcp loopback', '[fd00:10::11]:30080/tcp'];
		expect(claims(['10.96.0.1'])).toEqual(v4);
		expect(claims(['fd00::1'])).toEqual(v6);
		expect(claims(['fd00::1', '10.96.0.1'])).toEqual([...v4, ...v6]);
	});

	it('keeps TCP backends for as long as they are listed, UDP ones while they serve', () => {
		const ports = [
			{ name: 't', port: 80 },
			{ name: 'u', port: 80, protocol: 'UDP' },
		];
		const targets = [
			{ name: 't', port: 80 },
			{ name: 'u', port: 80, protocol: 'UDP' },
		];
		const gone = { ip: '10.0.0.1', conditions: { ready: false, serving: false } };
		const ending = { ip: '10.0.0.2', conditions: { ready: false, serving: true, terminating: true } };
		const { kept } = translate(SERVICE({ ports }), [SLICE('a', [gone, ending, '10.0.0.3'], targets)], NODE);
		expect(kept.map((b) => b.key)).toEqual([
			'10.0.0.1:80/tcp',
			'10.0.0.2:80/tcp',
			'10.0.0.2:80/udp',
			'10.0.0.3:80/tcp',
			'10.0.0.3:80/udp',
		]);
	});

	it('does not depend on the order of slices, endpoints or addresses', () => {
		const ips = Array.from({ length: 8 }, (_, i) => `10.0.0.${i + 1}`);
		const spec = { type: 'NodePort', externalTrafficPolicy: 'Local' };
		const one = SERVICE({ ips: ['10.96.0.1', 'fd00::1'], ports: [{ port: 80, nodePort: 30080 }], spec });
		const other = { ...one, clusterIps: one.clusterIps.toReversed() };
		fc.assert(
			fc.property(fc.shuffledSubarray(ips, { minLength: 8 }), fc.nat(8), (order, cut) => {
				const slices = [SLICE('a', order.slice(0, cut)), SLICE('a', order.slice(cut))];
				const expected = translate(one, [SLICE('a', ips)], NODE);
				expect(translate(other, slices, { ...NODE, addresses: NODE.addresses.toReversed() })).toEqual(
					expected,
				);
			}),
			{ numRuns: 50 },
		);
	});
});
