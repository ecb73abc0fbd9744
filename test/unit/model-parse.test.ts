import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseEndpointSlice, parseEndpoints } from '../../agent/model/endpoints.ts';
import { parseNode } from '../../agent/model/node.ts';
import { parseService } from '../../agent/model/service.ts';
import { translate } from '../../agent/model/translate.ts';
import type { Problem } from '../../agent/model/types.ts';
import { node, service, slice } from './reconcile-objects.ts';

const fields = (problems: readonly Problem[]) => problems.map((p) => `${p.field}: ${p.message}`);
const texts = (ips: readonly { text: string }[]) => ips.map((ip) => ip.text);

describe('parseService()', () => {
	it('keeps the valid ports and addresses beside bad ones, and names each field', () => {
		const { value, problems } = parseService(
			service('ns/a', {
				ips: ['10.96.0.1', '10.96.0.1 ', 'fd00::1'],
				ports: [
					{ port: 0 },
					{ port: 80 },
					{ port: '81' },
					{ name: 'x' },
					null,
					{ port: 80, name: 'again' },
					{ port: 53, protocol: 'UDP' },
				],
				spec: { externalIPs: ['127.0.0.1', '198.51.100.1', 7] },
			}),
			'ns/a',
		);
		expect(value.ports.map((p) => `${p.port}/${p.protocol}`)).toEqual(['80/tcp', '53/udp']);
		expect(texts(value.clusterIps)).toEqual(['10.96.0.1', 'fd00::1']);
		expect(texts(value.externalIps)).toEqual(['198.51.100.1']);
		expect(problems.every((p) => p.object === 'Service ns/a')).toBe(true);
		expect(fields(problems)).toEqual([
			'spec.ports[4]: is null, expected an object',
			'spec.ports[0].port: is 0, expected a port 1-65535',
			'spec.ports[2].port: is "81", expected a port 1-65535',
			'spec.ports[3].port: is missing, expected a port 1-65535',
			'spec.ports[5].port: 80/tcp is in spec.ports[1] too, which is the one served',
			'spec.clusterIPs[1]: "10.96.0.1 " is no IP address (no spaces, no zone)',
			'spec.externalIPs[2]: is 7, expected a string',
			'spec.externalIPs[0]: 127.0.0.1 is a loopback address, use a routable unicast address',
		]);
	});

	it.each([
		['headless', { clusterIPs: ['None'] }, {}],
		['headless by clusterIP', { clusterIPs: undefined, clusterIP: 'None' }, {}],
		['ExternalName', { type: 'ExternalName', clusterIPs: undefined }, {}],
		['of another proxy', {}, { labels: { 'service.kubernetes.io/service-proxy-name': 'x' } }],
		['labelled headless', {}, { labels: { 'service.kubernetes.io/headless': '' } }],
	])('serves nothing that is %s', (_name, spec, meta) => {
		const { value, problems } = parseService(service('ns/a', { spec, meta }), 'ns/a');
		expect([value.served, value.ports, value.clusterIps, problems]).toEqual([false, [], [], []]);
	});

	it('takes load balancer addresses, not those with ipMode Proxy and not host names', () => {
		const ingress = [
			{ ip: '198.51.100.7', ipMode: 'VIP' },
			{ ip: '198.51.100.8', ipMode: 'Proxy' },
			{ hostname: 'lb.example' },
			{ ip: '198.51.100.9' },
		];
		const options = { spec: { type: 'LoadBalancer' }, status: { loadBalancer: { ingress } } };
		expect(texts(parseService(service('ns/a', options), 'ns/a').value.ingressIps)).toEqual([
			'198.51.100.7',
			'198.51.100.9',
		]);
	});

	it('reads nodePorts of NodePort and LoadBalancer only, 0 as none', () => {
		const ports = [
			{ port: 80, nodePort: 30080 },
			{ port: 81, nodePort: 0 },
		];
		const nodePorts = (type: string) =>
			parseService(service('ns/a', { ports, spec: { type } }), 'ns/a').value.ports.map((p) => p.nodePort);
		expect([nodePorts('NodePort'), nodePorts('LoadBalancer'), nodePorts('ClusterIP')]).toEqual([
			[30080, 0],
			[30080, 0],
			[0, 0],
		]);
	});

	it.each([
		[{}, 0, 0],
		[{ sessionAffinity: 'ClientIP' }, 10_800, 0],
		[
			{ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86_400 } } },
			86_400,
			0,
		],
		[
			{ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86_401 } } },
			10_800,
			1,
		],
		[{ sessionAffinity: 'Cookie' }, 0, 1],
	])('affinity of %j', (spec, seconds, count) => {
		const { value, problems } = parseService(service('ns/a', { spec }), 'ns/a');
		expect([value.affinitySeconds, problems.length]).toEqual([seconds, count]);
	});

	it('has names that are properties of every object', () => {
		const key = '__proto__/constructor';
		const { value } = parseService(service(key, { ports: [{ port: 80, name: '__proto__' }] }), key);
		expect([value.namespace, value.name, value.ports[0]?.name]).toEqual([
			'__proto__',
			'constructor',
			'__proto__',
		]);
	});
});

describe('parseEndpointSlice()', () => {
	it('reads conditions that are absent as ready and serving, each by itself (KEP-1672)', () => {
		const conditions = (given: object | null) =>
			parseEndpointSlice(
				{ ...slice('a', ['10.0.0.1']), endpoints: [{ addresses: ['10.0.0.1'], conditions: given }] },
				'ns/a',
			).value.groups[0]!.endpoints.map((e) => [e.ready, e.serving, e.terminating])[0];
		expect(conditions(null)).toEqual([true, true, false]);
		expect(conditions({ ready: null })).toEqual([true, true, false]);
		expect(conditions({ ready: false })).toEqual([false, true, false]);
		expect(conditions({ ready: false, terminating: true })).toEqual([false, true, true]);
		expect(conditions({ ready: false, serving: true, terminating: true })).toEqual([false, true, true]);
	});

	it('leaves out endpoints that no proxy may serve (CVE-2021-25737) and keeps the others', () => {
		const bad = [
			'127.0.0.1',
			'169.254.169.254',
			'224.0.0.1',
			'0.0.0.0',
			'255.255.255.255',
			'10.0.0.300',
			'fd00::1',
		];
		const { value, problems } = parseEndpointSlice(slice('a', ['10.0.0.1', ...bad]), 'ns/a-x');
		expect(value.groups[0]!.endpoints.map((e) => e.ip.text)).toEqual(['10.0.0.1']);
		expect(problems).toHaveLength(bad.length);
		expect(problems[1]).toEqual({
			object: 'EndpointSlice ns/a-x',
			field: 'endpoints[2].addresses[0]',
			message: '169.254.169.254 is link-local, use a routable unicast address',
		});
	});

	it.each([
		[undefined, ['addressType: is undefined, expected IPv4 or IPv6']],
		['IPv5', ['addressType: is "IPv5", expected IPv4 or IPv6']],
		['FQDN', []],
	])('addressType %s gives no endpoints', (addressType, problems) => {
		const parsed = parseEndpointSlice({ ...slice('a', ['10.0.0.1']), addressType }, 'ns/a');
		expect(parsed.value.groups).toEqual([]);
		expect(fields(parsed.problems)).toEqual(problems);
	});

	it('passes over ports without a number, and reports bad ones', () => {
		const ports = [
			{ name: 'any' },
			{ name: 'p', port: 65536 },
			{ name: 'q', port: 1, protocol: 'SCTP' },
			{ name: 'r', port: 2 },
		];
		const { value, problems } = parseEndpointSlice(slice('a', ['10.0.0.1'], ports), 'ns/a');
		expect(value.groups[0]!.ports).toEqual([{ name: 'r', port: 2, protocol: 'tcp' }]);
		expect(fields(problems)).toEqual([
			'ports[1].port: is 65536, expected a port 1-65535',
			'ports[2].protocol: SCTP is unsupported, use TCP or UDP',
		]);
	});
});

describe('parseEndpoints()', () => {
	it('reads both families, ready and not', () => {
		const subsets = [
			{
				addresses: [{ ip: '10.0.0.1', nodeName: 'node1' }, { ip: '::1' }],
				notReadyAddresses: [{ ip: 'fd00::2' }],
				ports: [{ name: 'http', port: 8080 }],
			},
		];
		const { value, problems } = parseEndpoints({ subsets }, 'ns/a');
		expect(value.service).toBe('ns/a');
		expect(value.groups[0]!.endpoints.map((e) => [e.ip.text, e.ready, e.node])).toEqual([
			['10.0.0.1', true, 'node1'],
			['fd00::2', false, ''],
		]);
		expect(fields(problems)).toEqual([
			'subsets[0].addresses[1].ip: ::1 is a loopback address, use a routable unicast address',
		]);
	});
});

describe('parseNode()', () => {
	it('takes InternalIPs, then ExternalIPs, each once, and the zone', () => {
		const raw = {
			...node([], 'z1'),
			status: {
				addresses: [
					{ type: 'ExternalIP', address: '203.0.113.1' },
					{ type: 'Hostname', address: 'node1' },
					{ type: '__proto__', address: 'x' },
					{ type: 'InternalIP', address: '192.168.0.2' },
					{ type: 'ExternalIP', address: '192.168.0.2' },
				],
			},
		};
		const { value, problems } = parseNode(raw, 'node1');
		expect([texts(value.addresses), value.zone, value.leaving, problems]).toEqual([
			['192.168.0.2', '203.0.113.1'],
			'z1',
			false,
			[],
		]);
	});

	it('serves NodePorts at InternalIPs, and at ExternalIPs only of a family without one', () => {
		const at = (...addresses: [type: string, address: string][]) =>
			texts(
				parseNode({ status: { addresses: addresses.map(([type, address]) => ({ type, address })) } }, 'node1')
					.value.nodePortAddresses,
			);
		const v4 = ['InternalIP', '192.168.0.2'] as [string, string];
		const external: [string, string][] = [
			['ExternalIP', '203.0.113.1'],
			['ExternalIP', 'fd00::1'],
		];
		expect(at(...external, v4)).toEqual(['192.168.0.2', 'fd00::1']);
		expect(at(...external)).toEqual(['203.0.113.1', 'fd00::1']);
		expect(at(v4, ['InternalIP', '192.168.0.3'])).toEqual(['192.168.0.2', '192.168.0.3']);
	});

	it('knows that it is being deleted, or about to be by the autoscaler (B R-11)', () => {
		const taints = [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }];
		expect(parseNode({ ...node(), spec: { taints } }, 'node1').value.leaving).toBe(true);
		expect(
			parseNode({ ...node(), metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }, 'node1').value
				.leaving,
		).toBe(true);
	});
});

describe('parsers and translate()', () => {
	it('never throw, whatever the JSON is', () => {
		const names = [
			'metadata',
			'spec',
			'status',
			'ports',
			'port',
			'clusterIPs',
			'endpoints',
			'addresses',
			'subsets',
			'conditions',
			'hints',
			'addressType',
			'labels',
			'__proto__',
			'loadBalancer',
			'ingress',
			'type',
			'taints',
		];
		const { tree } = fc.letrec((tie) => ({
			tree: fc.oneof(
				{ maxDepth: 5 },
				fc.constantFrom(null, true, 0, 80, 1.5, '', 'IPv4', '10.0.0.1', 'NodePort'),
				fc.array(tie('tree'), { maxLength: 3 }),
				fc.dictionary(fc.constantFrom(...names), tie('tree'), { maxKeys: 5 }),
			),
		}));
		fc.assert(
			fc.property(tree, tree, tree, (raw, source, own) => {
				const from = parseEndpoints(source, 'ns/name').value;
				const on = parseNode(own, 'node1').value;
				const { frontends } = translate(parseService(raw, 'ns/name').value, [from], on);
				expect(new Set(frontends.map((f) => `${f.claim} ${f.scope}`)).size).toBe(frontends.length);
				for (const parse of [parseService, parseEndpointSlice, parseEndpoints, parseNode]) {
					const { problems } = parse(raw, 'ns/name');
					for (const problem of problems) expect(problem.message).not.toBe('');
				}
			}),
			{ numRuns: 2000 },
		);
	});
});
