import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Api, createApi } from '../../standalone/api/index.ts';
import type { ServiceCidr } from '../../standalone/port.ts';
import { create } from './alloc-setup.ts';

/** A cluster with two service addresses. default/kubernetes uses one of them. */
const SMALL = { families: ['IPv4'], serviceCidrs: ['10.96.0.0/30'] } as const;

const cidr = ({ objects }: Api, name: string, ...cidrs: string[]): ServiceCidr =>
	objects.create('servicecidrs', { metadata: { name }, spec: { cidrs } });
const addresses = ({ objects }: Api): string[] =>
	objects.list('ipaddresses').map(({ metadata, spec }) => `${metadata.name} ${spec.parentRef.name}`);

describe('ServiceCIDR', () => {
	test('the cluster has its own, named kubernetes', () => {
		const { objects } = createApi();
		expect(objects.get('servicecidrs', undefined, 'kubernetes')).toMatchObject({
			spec: { cidrs: ['10.96.0.0/16', 'fd00:10:96::/112'] },
			status: { conditions: [{ type: 'Ready', status: 'True' }] },
		});
	});

	test('adds a range that Services get addresses from', () => {
		const api = createApi(SMALL);
		create(api, 'a');
		expect(() => create(api, 'b')).toThrow('range is full');
		expect(() => create(api, 'b', { clusterIP: '10.97.0.9' })).toThrow('not in the valid range');
		cidr(api, 'more', '10.97.0.0/24');
		expect(create(api, 'b').clusterIP).toMatch(/^10\.97\.0\./);
		expect(create(api, 'c', { clusterIP: '10.97.0.9' }).clusterIP).toBe('10.97.0.9');
	});

	test('an address in two ranges is one address', () => {
		const api = createApi(SMALL);
		cidr(api, 'wide', '10.0.0.0/8');
		const { clusterIP } = create(api, 'a', { clusterIP: '10.96.0.2' });
		expect(() => create(api, 'b', { clusterIP })).toThrow('provided IP is already allocated');
		api.objects.delete('services', 'default', 'a');
		expect(create(api, 'b', { clusterIP }).clusterIP).toBe(clusterIP);
	});

	test('that is deleted gives nothing more, and goes with the last Service that has an address of it', () => {
		const api = createApi(SMALL);
		create(api, 'a');
		cidr(api, 'more', '10.97.0.0/24');
		create(api, 'b');
		api.objects.delete('servicecidrs', undefined, 'more');
		expect(api.objects.get('servicecidrs', undefined, 'more')?.metadata.deletionTimestamp).toBeDefined();
		expect(() => create(api, 'c')).toThrow('range is full');
		api.objects.delete('services', 'default', 'b');
		expect(api.objects.get('servicecidrs', undefined, 'more')).toBeUndefined();
		cidr(api, 'more', '10.97.0.0/24');
		expect(create(api, 'c').clusterIP).toMatch(/^10\.97\.0\./);
	});

	test('goes at once when it is not used, or another has its addresses', () => {
		const api = createApi(SMALL);
		cidr(api, 'unused', '10.98.0.0/24');
		api.objects.delete('servicecidrs', undefined, 'unused');
		cidr(api, 'twin', '10.96.0.0/30');
		api.objects.delete('servicecidrs', undefined, 'twin');
		expect(api.objects.list('servicecidrs').map(({ metadata }) => metadata.name)).toEqual(['kubernetes']);
		expect(create(api, 'a').clusterIP).toBe('10.96.0.2');
	});

	test.each([
		[[], 'spec.cidrs: Required value: at least one CIDR required'],
		[['10.0.0.1/24'], 'must be in canonical form ("10.0.0.0/24")'],
		[['10.0.0.0'], 'must be a valid CIDR value'],
		[['10.0.0.0/24', '10.1.0.0/24'], 'may specify no more than one IP for each IP family'],
		[['10.0.0.0/24', 'fd00::/112', 'fd01::/112'], 'may only hold up to 2 values'],
	])('with %j is refused', (cidrs, message) => {
		expect(() => cidr(createApi(), 'bad', ...cidrs)).toThrow(message);
	});

	test('does not change, and a dry run adds nothing', () => {
		const api = createApi(SMALL);
		const made = structuredClone(cidr(api, 'more', '10.97.0.0/24'));
		made.spec.cidrs = ['10.98.0.0/24'];
		expect(() => api.objects.update('servicecidrs', made)).toThrow('field is immutable');
		const dry = { metadata: { name: 'dry' }, spec: { cidrs: ['10.99.0.0/24'] } };
		api.objects.create('servicecidrs', dry, { dryRun: true });
		expect(() => create(api, 'a', { clusterIP: '10.99.0.9' })).toThrow('not in the valid range');
	});

	test('is known after a restart, with what is taken from it', async () => {
		const folder = mkdtempSync(join(tmpdir(), 'mla-cidr-'));
		const options = { ...SMALL, database: join(folder, 'objects.db') };
		const before = createApi(options);
		cidr(before, 'more', '10.97.0.0/24');
		create(before, 'a', { clusterIP: '10.97.0.9' });
		await before.close();
		const after = createApi(options);
		expect(() => create(after, 'b', { clusterIP: '10.97.0.9' })).toThrow('already allocated');
		expect(create(after, 'c', { clusterIP: '10.97.0.10' }).clusterIP).toBe('10.97.0.10');
		expect(after.objects.list('events')).toEqual([]);
		await after.close();
		rmSync(folder, { recursive: true });
	});
});

describe('IPAddress', () => {
	test('there is one for each address that a Service has', () => {
		const api = createApi();
		const fixed = { ipFamilyPolicy: 'PreferDualStack', clusterIPs: ['10.96.0.9', 'fd00:10:96::9'] };
		create(api, 'a', { ...fixed, clusterIP: '10.96.0.9' });
		create(api, 'headless', { clusterIP: 'None' });
		expect(addresses(api)).toEqual(['10.96.0.1 kubernetes', '10.96.0.9 a', 'fd00:10:96::9 a']);
		expect(api.objects.get('ipaddresses', undefined, '10.96.0.9')).toMatchObject({
			metadata: {
				labels: {
					'ipaddress.kubernetes.io/ip-family': 'IPv4',
					'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io',
				},
			},
			spec: { parentRef: { group: '', resource: 'services', namespace: 'default', name: 'a' } },
		});
		const service = structuredClone(api.objects.mustGet('services', 'default', 'a'));
		service.spec.ipFamilyPolicy = 'SingleStack';
		api.objects.update('services', service);
		expect(addresses(api)).toEqual(['10.96.0.1 kubernetes', '10.96.0.9 a']);
		api.objects.delete('services', 'default', 'a');
		expect(addresses(api)).toEqual(['10.96.0.1 kubernetes']);
	});
});
