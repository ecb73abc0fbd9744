/** Cases of section C of the catalogue that need several steps or a cluster that changes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createApi } from '../../standalone/api/index.ts';
import type { Fields } from '../fields.ts';
import { create, service, update } from './alloc-setup.ts';

const nodePorts = (spec: Fields): number[] => spec.ports.map((port: Fields) => port.nodePort);

describe('nodePorts', () => {
	test('on create: automatic, explicit, of a load balancer, and what is refused (C-11)', () => {
		const api = createApi();
		const two = [
			{ name: 'a', port: 80 },
			{ name: 'b', port: 81 },
		];
		const [one] = nodePorts(create(api, 'one', { type: 'NodePort' }));
		expect(one).toBeGreaterThanOrEqual(30_086);
		const several = nodePorts(create(api, 'several', { type: 'NodePort', ports: two }));
		expect(new Set([one, ...several]).size).toBe(3);
		const fixed = { type: 'NodePort', ports: [{ port: 80, nodePort: 30_080 }] };
		expect(nodePorts(create(api, 'fixed', fixed))).toEqual([30_080]);
		expect(nodePorts(create(api, 'balanced', { type: 'LoadBalancer' }))[0]).toBeGreaterThanOrEqual(30_086);
		const named = { ports: [{ port: 80, nodePort: 30_081 }] };
		expect(() => create(api, 'cluster', named)).toThrow("may not be used when `type` is 'ClusterIP'");
		const same = two.map((port) => ({ ...port, nodePort: 30_082 }));
		expect(() => create(api, 'same', { type: 'NodePort', ports: same })).toThrow('Duplicate value: 30082');
	});

	test('that an update leaves out: the old one of that name, unless another port has it now (C R-4)', () => {
		const api = createApi();
		const ports = [
			{ name: 'x', port: 80, nodePort: 30_090 },
			{ name: 'y', port: 81, nodePort: 30_091 },
		];
		create(api, 'a', { type: 'NodePort', ports });
		const moved = update(api, 'a', (spec) => {
			spec.ports = [
				{ name: 'x', port: 80 },
				{ name: 'z', port: 82, nodePort: 30_090 },
			];
		});
		expect(moved.ports[1].nodePort).toBe(30_090);
		expect([30_090, 30_091]).not.toContain(moved.ports[0].nodePort);
		expect(nodePorts(create(api, 'b', { type: 'NodePort', ports: [{ port: 1, nodePort: 30_091 }] }))).toEqual(
			[30_091],
		);
	});
});

describe('healthCheckNodePort (C-14)', () => {
	const local = { type: 'LoadBalancer', externalTrafficPolicy: 'Local' };

	test('is allocated or honoured for Local, refused for Cluster, and cleared by a change to it', () => {
		const api = createApi();
		expect(create(api, 'auto', local).healthCheckNodePort).toBeGreaterThanOrEqual(30_000);
		expect(create(api, 'named', { ...local, healthCheckNodePort: 30_100 }).healthCheckNodePort).toBe(30_100);
		const cluster = { type: 'LoadBalancer', externalTrafficPolicy: 'Cluster', healthCheckNodePort: 30_101 };
		expect(() => create(api, 'cluster', cluster)).toThrow(
			"may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
		);
		const changed = update(api, 'named', (spec) => {
			spec.externalTrafficPolicy = 'Cluster';
		});
		expect(changed).not.toHaveProperty('healthCheckNodePort');
		expect(create(api, 'next', { ...local, healthCheckNodePort: 30_100 }).healthCheckNodePort).toBe(30_100);
	});

	test('a PUT without it keeps it (C R-4)', () => {
		const api = createApi();
		const { healthCheckNodePort } = create(api, 'a', local);
		expect(api.objects.update('services', service('a', local)).spec.healthCheckNodePort).toBe(
			healthCheckNodePort,
		);
	});
});

describe('a type that changes (C R-6)', () => {
	test('from LoadBalancer wipes its class, its node ports, its health port and its address', () => {
		const api = createApi();
		const balanced = {
			type: 'LoadBalancer',
			externalTrafficPolicy: 'Local',
			loadBalancerClass: 'example.org/x',
			allocateLoadBalancerNodePorts: true,
		};
		create(api, 'a', balanced);
		const object = structuredClone(api.objects.mustGet('services', 'default', 'a'));
		object.status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } };
		api.objects.update('services', object, 'status');
		const { healthCheckNodePort } = object.spec;
		update(api, 'a', (spec) => {
			spec.type = 'ClusterIP';
		});
		const { spec, status } = api.objects.mustGet('services', 'default', 'a');
		expect(Object.keys(spec).sort()).toEqual([
			'clusterIP',
			'clusterIPs',
			'internalTrafficPolicy',
			'ipFamilies',
			'ipFamilyPolicy',
			'ports',
			'selector',
			'sessionAffinity',
			'type',
		]);
		expect(status).toEqual({ loadBalancer: {} });
		const free = { type: 'NodePort', ports: [{ port: 80, nodePort: healthCheckNodePort }] };
		expect(nodePorts(create(api, 'b', free))).toEqual([healthCheckNodePort]);
	});
});

test('sessionAffinityConfig and ports: defaults, and what is refused (C-22)', () => {
	const api = createApi();
	const timeout = (timeoutSeconds: number) => ({ clientIP: { timeoutSeconds } });
	const bad: [Fields, string][] = [
		[{ sessionAffinity: 'ClientIP', sessionAffinityConfig: timeout(0) }, 'must be greater than 0'],
		[{ sessionAffinity: 'ClientIP', sessionAffinityConfig: timeout(86_401) }, 'less than 86400'],
		[
			{ sessionAffinity: 'None', sessionAffinityConfig: timeout(10) },
			'must not be set when session affinity',
		],
		[{ ports: [{ port: 1 }, { port: 2 }] }, 'spec.ports[0].name: Required value'],
		[
			{
				ports: [
					{ name: 'a', port: 1 },
					{ name: 'a', port: 2 },
				],
			},
			'spec.ports[1].name: Duplicate value',
		],
		[
			{
				ports: [
					{ name: 'a', port: 1 },
					{ name: 'b', port: 1 },
				],
			},
			'spec.ports[1]: Duplicate value',
		],
	];
	for (const [spec, message] of bad) expect(() => create(api, 'bad', spec), message).toThrow(message);
	const made = create(api, 'good', { sessionAffinity: 'ClientIP' });
	expect(made.sessionAffinityConfig).toEqual(timeout(10_800));
	expect(made.ports).toEqual([{ port: 80, protocol: 'TCP', targetPort: 80 }]);
	expect(
		create(api, 'longest', { sessionAffinity: 'ClientIP', sessionAffinityConfig: timeout(86_400) }),
	).toBeDefined();
});

test('a /30 has two addresses for Services, neither its first nor its last (C-17)', () => {
	const api = createApi({ families: ['IPv4'], serviceCidrs: ['192.168.1.0/30'] });
	for (const clusterIP of ['192.168.1.0', '192.168.1.3'])
		expect(() => create(api, 'edge', { clusterIP })).toThrow('not in the valid range');
	expect(create(api, 'a').clusterIP).toBe('192.168.1.2');
	expect(() => create(api, 'b')).toThrow('range is full');
	api.objects.delete('services', 'default', 'a');
	expect(create(api, 'b').clusterIP).toBe('192.168.1.2');
});

describe('a cluster that gains or loses a family (C R-2)', () => {
	const DUAL = { families: ['IPv4', 'IPv6'], serviceCidrs: ['10.96.0.0/16', 'fd00:10:96::/112'] } as const;
	const SINGLE = { families: ['IPv4'], serviceCidrs: ['10.96.0.0/16'] } as const;
	let folder: string;
	let database: string;
	beforeEach(() => {
		folder = mkdtempSync(join(tmpdir(), 'mla-cases-'));
		database = join(folder, 'objects.db');
	});
	afterEach(() => rmSync(folder, { recursive: true }));
	const label = (spec: Fields) => {
		spec.selector = { app: 'other' };
	};

	test.each([
		['dual-stack to single', DUAL, SINGLE, 2],
		['single-stack to dual', SINGLE, DUAL, 1],
	])(
		'%s: an unrelated update of a PreferDualStack Service keeps what it has',
		async (_, first, then, count) => {
			const before = createApi({ ...first, database });
			const { clusterIPs } = create(before, 'a', { ipFamilyPolicy: 'PreferDualStack' });
			expect(clusterIPs).toHaveLength(count);
			await before.close();
			const after = createApi({ ...then, database });
			expect(update(after, 'a', label).clusterIPs).toEqual(clusterIPs);
			await after.close();
		},
	);
});
