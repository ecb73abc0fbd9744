import { describe, expect, test } from 'vitest';
import { createApi } from '../../standalone/api/index.ts';
import type { Fields } from '../fields.ts';
import { create, refusal, service, update } from './alloc-setup.ts';

const DUAL = () => createApi();

describe('Service nodePorts (C R-4)', () => {
	test('A-18: a taken nodePort is refused until its owner goes', () => {
		const api = DUAL();
		create(api, 'a', { type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] });
		const again = () => create(api, 'b', { type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] });
		const error = refusal(again);
		expect(error.code).toBe(422);
		expect(error.message).toBe(
			'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated',
		);
		api.objects.delete('services', 'default', 'a');
		expect(again().ports[0].nodePort).toBe(30080);
	});

	test('A-19: out of range on create and on update', () => {
		const api = DUAL();
		const bad = [{ port: 80, nodePort: 32768 }];
		const text =
			'Invalid value: 32768: provided port is not in the valid range. The range of valid ports is 30000-32767';
		expect(refusal(() => create(api, 'a', { type: 'NodePort', ports: bad })).message).toContain(text);
		create(api, 'b', { type: 'NodePort' });
		const change = (spec: Fields) => {
			spec.ports = bad;
		};
		expect(refusal(() => update(api, 'b', change)).details?.causes?.[0]).toEqual({
			reason: 'FieldValueInvalid',
			message: text,
			field: 'spec.ports[0].nodePort',
		});
	});

	test('ports of one number share a nodePort, and an explicit one of either wins', () => {
		const api = DUAL();
		const dns = [
			{ name: 'udp', port: 53, protocol: 'UDP' },
			{ name: 'tcp', port: 53, nodePort: 30053 },
		];
		const ports: Fields[] = create(api, 'dns', { type: 'NodePort', ports: dns }).ports;
		expect(ports.map((port) => port.nodePort)).toEqual([30053, 30053]);
	});

	test('C-11: different port numbers cannot share one, same protocol twice is a duplicate', () => {
		const api = DUAL();
		const ports = (protocol: string) => [
			{ name: 'a', port: 80, nodePort: 30080 },
			{ name: 'b', port: 81, nodePort: 30080, protocol },
		];
		expect(refusal(() => create(api, 'a', { type: 'NodePort', ports: ports('UDP') })).message).toContain(
			'spec.ports[1].nodePort: Invalid value: 30080: provided port is already allocated',
		);
		expect(refusal(() => create(api, 'b', { type: 'NodePort', ports: ports('TCP') })).message).toContain(
			'spec.ports[1].nodePort: Duplicate value: 30080',
		);
		// The failed creates allocated nothing
		expect(
			create(api, 'c', { type: 'NodePort', ports: [{ port: 1, nodePort: 30080 }] }).ports[0].nodePort,
		).toBe(30080);
		expect(refusal(() => create(api, 'd', { ports: [{ port: 80, nodePort: 30081 }] })).message).toContain(
			"spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
		);
	});

	test('a PUT without nodePorts and addresses keeps them, by port name', () => {
		const api = DUAL();
		const made = create(api, 'a', {
			type: 'NodePort',
			ports: [
				{ name: 'x', port: 80 },
				{ name: 'y', port: 81 },
			],
		});
		const [x, y] = made.ports.map((port: Fields) => port.nodePort);
		const put = api.objects.update(
			'services',
			service('a', {
				type: 'NodePort',
				ports: [
					{ name: 'y', port: 82 },
					{ name: 'z', port: 80 },
				],
			}),
		).spec;
		expect(put.clusterIP).toBe(made.clusterIP);
		expect(put.ports![0]!.nodePort).toBe(y);
		expect(put.ports![1]!.nodePort).not.toBe(x);
		expect(create(api, 'b', { type: 'NodePort', ports: [{ port: 80, nodePort: x }] }).ports[0].nodePort).toBe(
			x,
		);
	});

	test('a load balancer without node ports gets none', () => {
		const spec = create(DUAL(), 'a', { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false });
		expect(spec.ports[0].nodePort).toBeUndefined();
	});
});

describe('Service families on update (C R-2)', () => {
	test('C-06: to PreferDualStack and back', () => {
		const api = DUAL();
		const [v4] = create(api, 'a').clusterIPs;
		const dual = update(api, 'a', (spec) => {
			spec.ipFamilyPolicy = 'PreferDualStack';
		});
		expect(dual.clusterIPs[0]).toBe(v4);
		expect(dual.ipFamilies).toEqual(['IPv4', 'IPv6']);
		const v6 = dual.clusterIPs[1];
		const single = update(api, 'a', (spec) => {
			spec.ipFamilyPolicy = 'SingleStack';
		});
		expect(single.clusterIPs).toEqual([v4]);
		expect(single.ipFamilies).toEqual(['IPv4']);
		expect(create(api, 'b', { clusterIP: v6, clusterIPs: [v6] }).clusterIP).toBe(v6);
	});

	test('a secondary address named by the user is honoured', () => {
		const api = DUAL();
		create(api, 'a');
		const spec = update(api, 'a', (wanted) => {
			wanted.ipFamilyPolicy = 'RequireDualStack';
			wanted.clusterIPs = [wanted.clusterIPs[0], 'fd00:10:96::77'];
		});
		expect(spec.clusterIPs[1]).toBe('fd00:10:96::77');
	});

	test('the first address and family never change, the second goes by SingleStack only', () => {
		const api = DUAL();
		create(api, 'a', { ipFamilyPolicy: 'RequireDualStack' });
		const told = (change: (spec: Fields) => void) => refusal(() => update(api, 'a', change)).message;
		expect(
			told((spec) => {
				spec.clusterIP = '10.96.0.77';
				spec.clusterIPs = ['10.96.0.77', spec.clusterIPs[1]];
			}),
		).toContain('spec.clusterIPs[0]: Invalid value: []string{"10.96.0.77"');
		expect(
			told((spec) => {
				spec.clusterIPs = spec.clusterIPs.slice(0, 1);
			}),
		).toContain("must be 'SingleStack' to release the secondary cluster IP");
		expect(
			told((spec) => {
				spec.ipFamilies = ['IPv4'];
			}),
		).toContain("must be 'SingleStack' to release the secondary IP family");
	});

	test('a failed update and a dry run leave the allocators as they were', () => {
		const api = DUAL();
		create(api, 'a');
		create(api, 'b', { type: 'NodePort', ports: [{ port: 80, nodePort: 30100 }] });
		refusal(() =>
			update(api, 'a', (spec) => {
				spec.type = 'NodePort';
				spec.ports = [
					{ name: 'x', port: 80, nodePort: 30101 },
					{ name: 'y', port: 81, nodePort: 30100 },
				];
			}),
		);
		const wanted = service('c', { type: 'NodePort', ports: [{ port: 80, nodePort: 30101 }] });
		expect(api.objects.create('services', wanted, { dryRun: true }).spec.ports![0]!.nodePort).toBe(30101);
		expect(api.objects.get('services', 'default', 'c')).toBeUndefined();
		expect(api.objects.create('services', wanted).spec.ports![0]!.nodePort).toBe(30101);
	});
});

describe('Service type changes (C R-6)', () => {
	test('C-09: ExternalName to ClusterIP and back', () => {
		const api = DUAL();
		const named = create(api, 'a', { type: 'ExternalName', externalName: 'example.org', ports: [] });
		expect(named.clusterIP).toBeUndefined();
		expect(named.ipFamilies).toBeUndefined();
		const made = update(api, 'a', (spec) => {
			spec.type = 'ClusterIP';
			spec.ports = [{ port: 80 }];
		});
		const ip = made.clusterIP;
		expect(ip).toMatch(/^10\.96\./);
		const back = update(api, 'a', (spec) => {
			spec.type = 'ExternalName';
			spec.externalName = 'example.org';
		});
		expect(back).not.toHaveProperty('clusterIP');
		expect(back).not.toHaveProperty('clusterIPs');
		expect(back).not.toHaveProperty('ipFamilyPolicy');
		expect(create(api, 'b', { clusterIP: ip, clusterIPs: [ip] }).clusterIP).toBe(ip);
	});

	test('NodePort to ClusterIP wipes nodePorts and externalTrafficPolicy', () => {
		const api = DUAL();
		const { nodePort } = create(api, 'a', { type: 'NodePort' }).ports[0];
		const spec = update(api, 'a', (wanted) => {
			wanted.type = 'ClusterIP';
		});
		expect(spec.ports[0]).not.toHaveProperty('nodePort');
		expect(spec).not.toHaveProperty('externalTrafficPolicy');
		create(api, 'b', { type: 'NodePort', ports: [{ port: 80, nodePort }] });
	});

	test('what the user changes in the same update is kept and refused', () => {
		const api = DUAL();
		create(api, 'a', { type: 'NodePort' });
		const change = (spec: Fields) => {
			spec.type = 'ClusterIP';
			spec.externalTrafficPolicy = 'Local';
		};
		expect(refusal(() => update(api, 'a', change)).message).toContain(
			'may only be set for externally-accessible services',
		);
	});
});

describe('healthCheckNodePort (C R-5, C-14)', () => {
	const local = { type: 'LoadBalancer', externalTrafficPolicy: 'Local' };

	test('allocated or honoured where it is needed, released when not', () => {
		const api = DUAL();
		expect(create(api, 'a', local).healthCheckNodePort).toBeGreaterThanOrEqual(30000);
		expect(create(api, 'b', { ...local, healthCheckNodePort: 30100 }).healthCheckNodePort).toBe(30100);
		const cluster = update(api, 'b', (spec) => {
			spec.externalTrafficPolicy = 'Cluster';
		});
		expect(cluster).not.toHaveProperty('healthCheckNodePort');
		expect(create(api, 'c', { ...local, healthCheckNodePort: 30100 }).healthCheckNodePort).toBe(30100);
	});

	test('refused elsewhere, immutable while needed', () => {
		const api = DUAL();
		const cluster = { type: 'LoadBalancer', healthCheckNodePort: 30100 };
		expect(refusal(() => create(api, 'a', cluster)).message).toContain(
			'spec.healthCheckNodePort: Invalid value: 30100',
		);
		create(api, 'b', local);
		const change = (spec: Fields) => {
			spec.healthCheckNodePort = 30111;
		};
		expect(refusal(() => update(api, 'b', change)).message).toContain('field is immutable');
	});
});

describe('Service validation', () => {
	test.each<[string, Fields, string]>([
		[
			'bad external IP',
			{ externalIPs: ['1.2.3'] },
			'spec.externalIPs[0]: Invalid value: "1.2.3": must be a valid IP address',
		],
		['loopback external IP', { externalIPs: ['127.0.0.1'] }, 'may not be in the loopback range'],
		[
			'port 0',
			{ ports: [{ port: 0 }] },
			'spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
		],
		['no ports', { ports: [] }, 'spec.ports: Required value'],
		[
			'unknown protocol',
			{ ports: [{ port: 1, protocol: 'ICMP' }] },
			'spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
		],
		['two unnamed ports', { ports: [{ port: 1 }, { port: 2 }] }, 'spec.ports[0].name: Required value'],
		[
			'one port twice',
			{
				ports: [
					{ name: 'a', port: 1 },
					{ name: 'b', port: 1 },
				],
			},
			'spec.ports[1]: Duplicate value: {"protocol":"TCP","port":1}',
		],
		[
			'one name twice',
			{
				ports: [
					{ name: 'a', port: 1 },
					{ name: 'a', port: 2 },
				],
			},
			'spec.ports[1].name: Duplicate value: "a"',
		],
		['unknown family', { ipFamilies: ['IPv5'] }, 'spec.ipFamilies[0]: Unsupported value: "IPv5"'],
		['unknown type', { type: 'Foo' }, 'spec.type: Unsupported value: "Foo"'],
		[
			'policy on ClusterIP',
			{ externalTrafficPolicy: 'Local' },
			'may only be set for externally-accessible services',
		],
		[
			'affinity 0 s',
			{ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } },
			'must be greater than 0 and less than 86400',
		],
		[
			'affinity too long',
			{ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86401 } } },
			'must be greater than 0 and less than 86400',
		],
		[
			'IP of another range',
			{ clusterIP: '10.97.0.1' },
			'the provided IP (10.97.0.1) is not in the valid range',
		],
		[
			'IP in use',
			{ clusterIP: '10.96.0.1' },
			'spec.clusterIPs: Invalid value: []string{"10.96.0.1"}: failed to allocate IP 10.96.0.1: provided IP is already allocated',
		],
		[
			'two IPs of a family',
			{ clusterIP: '10.96.0.8', clusterIPs: ['10.96.0.8', '10.96.0.9'] },
			'may specify no more than one IP for each IP family',
		],
		[
			'headless NodePort',
			{ type: 'NodePort', clusterIP: 'None' },
			"may not be set to 'None' for NodePort services",
		],
		[
			'ranges without load balancer',
			{ loadBalancerSourceRanges: ['10.0.0.0/8'] },
			"may only be used when `type` is 'LoadBalancer'",
		],
		[
			'bad range',
			{ type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0'] },
			'must be a valid CIDR value',
		],
		['no external name', { type: 'ExternalName' }, 'spec.externalName: Required value'],
	])('%s', (_name, spec, message) => {
		const error = refusal(() => create(DUAL(), 'svc', spec));
		expect(error).toMatchObject({ code: 422, reason: 'Invalid' });
		expect(error.message).toContain(message);
	});

	test('name must be a DNS-1035 label', () => {
		expect(refusal(() => create(DUAL(), '1up')).message).toContain(
			'metadata.name: Invalid value: "1up": a DNS-1035 label must',
		);
	});

	test('C-22: defaults', () => {
		const spec = create(DUAL(), 'a', {
			type: 'NodePort',
			sessionAffinity: 'ClientIP',
			ports: [{ port: 80 }],
		});
		expect(spec).toMatchObject({
			sessionAffinityConfig: { clientIP: { timeoutSeconds: 10800 } },
			externalTrafficPolicy: 'Cluster',
			internalTrafficPolicy: 'Cluster',
			ipFamilyPolicy: 'SingleStack',
			ipFamilies: ['IPv4'],
		});
		expect(spec.ports[0]).toMatchObject({ protocol: 'TCP', targetPort: 80 });
	});

	test('C-10: everything fixed is free again after delete', () => {
		const api = DUAL();
		const fixed = {
			type: 'LoadBalancer',
			clusterIP: '10.96.0.50',
			externalTrafficPolicy: 'Local',
			healthCheckNodePort: 30200,
			ports: [{ port: 80, nodePort: 30201 }],
		};
		for (let round = 0; round < 3; round++) {
			expect(create(api, 'a', fixed).clusterIP).toBe('10.96.0.50');
			api.objects.delete('services', 'default', 'a');
		}
	});
});

test('C-19: a stored Service with an address of another keeps nobody from theirs', () => {
	const api = DUAL();
	const { clusterIP } = create(api, 'a');
	api.objects.unsafePut(
		'services',
		service('twin', { type: 'ClusterIP', clusterIP, clusterIPs: [clusterIP] }),
	);
	api.objects.unsafePut('services', service('far', { clusterIP: '10.96.0.99', clusterIPs: ['10.96.0.99'] }));
	api.objects.delete('services', 'default', 'twin');
	const taken = { clusterIP, clusterIPs: [clusterIP] };
	expect(refusal(() => create(api, 'b', taken)).message).toContain('provided IP is already allocated');
	const far = { clusterIP: '10.96.0.99', clusterIPs: ['10.96.0.99'] };
	expect(refusal(() => create(api, 'c', far)).message).toContain('provided IP is already allocated');
	api.objects.delete('services', 'default', 'far');
	expect(create(api, 'd', far).clusterIP).toBe('10.96.0.99');
});
