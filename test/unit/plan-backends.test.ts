import { describe, expect, it } from 'vitest';
import {
	type Backend,
	backendCodec,
	MAPS,
	TABLE_SEGMENT_CHUNKS,
	TABLE_SEGMENTS,
} from '../../agent/abi/layout.ts';
import { u32Of } from '../../agent/abi/u32.ts';
import { parseIp } from '../../agent/model/ip.ts';
import type { Translation } from '../../agent/model/translate.ts';
import { Admission } from '../../agent/plan/admission.ts';
import { backendName, isValid } from '../../agent/plan/kernel.ts';
import { service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

const TARGETS = ['TCP', 'UDP'].map((protocol) => ({ name: protocol, port: 8080, protocol }));
const PORTS = ['TCP', 'UDP'].map((protocol) => ({ name: protocol, port: 80, protocol, nodePort: 30080 }));
const E = '10.1.0.1';
const OTHER = '10.1.0.2';

const web = (name: string, ip: string, ports: readonly object[] = PORTS): Record<string, object> => ({
	[`ns/${name}`]: service(`ns/${name}`, { ips: [ip], ports, spec: { type: 'NodePort' } }),
});
const A = web('a', '10.96.0.1');
const B = web(
	'b',
	'10.96.0.2',
	PORTS.map((port) => ({ ...port, nodePort: 30081 })),
);
const endpoints = (name: string, ...ips: string[]) => ({ [`ns/${name}-x`]: slice(name, ips, TARGETS) });

/** `10.1.0.1:8080/udp ns/a:80/udp` -> id and generation. */
function backendsOf(rig: Rig): Map<string, { readonly id: number; readonly generation: number }> {
	const found = [...rig.maps.backends.entries()].map(([key, value]): [number, Backend] => [
		u32Of(key),
		backendCodec.decode(value),
	]);
	return new Map(
		found
			.filter(([, value]) => isValid(value))
			.map(([id, value]) => [
				`${backendName(value)} ${rig.reconciler.serviceName(value.serviceId)}`,
				{ id, generation: value.generation },
			]),
	);
}

const of = (rig: Rig, service: string) =>
	new Map([...backendsOf(rig)].filter(([name]) => name.includes(` ns/${service}:`)));

describe('backends of two Services with the same endpoints', () => {
	const both = () =>
		new Rig()
			.add({ ...A, ...B }, { ...endpoints('a', E, OTHER), ...endpoints('b', E, OTHER) })
			.listed()
			.sync();

	it('each has its own, so that one that loses an endpoint says so to its flows only (R-A7, R-10)', () => {
		const rig = both();
		const before = backendsOf(rig);
		expect(before.size).toBe(8);
		rig.add({}, endpoints('a', OTHER)).sync();
		const after = backendsOf(rig);
		expect(after.get(`${E}:8080/udp ns/a:80/udp`)).toBeUndefined();
		for (const [name, backend] of after) expect(backend, name).toEqual(before.get(name));
		expect(of(rig, 'b')).toEqual(new Map([...before].filter(([name]) => name.includes(' ns/b:'))));
		rig.add({}, endpoints('a', E, OTHER)).sync();
		const back = backendsOf(rig).get(`${E}:8080/udp ns/a:80/udp`)!;
		const old = before.get(`${E}:8080/udp ns/a:80/udp`)!;
		expect(back.generation).not.toBe(old.generation);
	});

	it('two ports of one Service with the same endpoints are told apart too', () => {
		const ports = [PORTS[1]!, { ...PORTS[1], name: 'more', port: 81, nodePort: 30082 }];
		const targets = [TARGETS[1]!, { ...TARGETS[1], name: 'more' }];
		const rig = new Rig().add(web('a', '10.96.0.1', ports), { 'ns/a-x': slice('a', [E], targets) });
		const before = backendsOf(rig.listed().sync());
		expect(before.size).toBe(2);
		rig.add({}, { 'ns/a-x': slice('a', [E], [targets[1]!]) }).sync();
		expect([...backendsOf(rig)]).toEqual([...before].filter(([name]) => name.endsWith(':81/udp')));
	});

	it('a restarted agent knows whose each is, whatever the order of the objects', () => {
		const rig = both();
		const before = backendsOf(rig);
		rig.maps.kernel.take();
		const restarted = new Rig({ maps: rig.maps });
		restarted.add({}, { ...endpoints('b', E, OTHER), ...endpoints('a', E, OTHER) });
		restarted
			.add({ ...B, ...A })
			.listed()
			.sync();
		expect(backendsOf(restarted)).toEqual(before);
		expect(rig.maps.kernel.take()).toEqual([]);
	});

	it('what one of them lost while no agent ran is gone for it alone', () => {
		const rig = both();
		const before = backendsOf(rig);
		const gone: string[] = [];
		const restarted = new Rig({
			maps: rig.maps,
			backendsGone: (all) => void gone.push(...all.map((one) => `${backendName(one)} of ${one.serviceId}`)),
		});
		const slices = { ...endpoints('a', OTHER), ...endpoints('b', E, OTHER) };
		restarted
			.add({ ...A, ...B }, slices)
			.listed()
			.sync();
		const lost = [...before].filter(([name]) => name.startsWith(E) && name.includes(' ns/a:'));
		expect(backendsOf(restarted)).toEqual(
			new Map([...before].filter(([name]) => !lost.some(([one]) => one === name))),
		);
		expect(gone).toHaveLength(2);
		expect(restarted.reconciler.hasBackend(`${E}:8080/udp`)).toBe(true);
		const ids = gone.map((name) => Number(name.split(' of ')[1]));
		for (const id of ids) expect(restarted.reconciler.hasBackend(`${E}:8080/udp`, id)).toBe(false);
	});
});

describe('a Service that is deleted and made again within a second', () => {
	it('has the ids that it had, so that nothing that TCP holds to changes its meaning; UDP begins anew', () => {
		const rig = new Rig().add(A, endpoints('a', E)).listed().sync();
		const before = backendsOf(rig);
		const frontends = rig.dump();
		rig.sinks.services.remove('ns/a');
		rig.sinks.endpoints.remove('ns/a-x');
		rig.sync();
		expect(backendsOf(rig).size).toBe(0);
		expect(rig.dump()).not.toContain('frontend');
		rig.clock.advance(500);
		rig.add(A, endpoints('a', E)).sync();
		expect(rig.dump()).toBe(frontends);
		const after = backendsOf(rig);
		for (const [name, { id, generation }] of before) {
			expect(after.get(name), name).toEqual({ id, generation: generation + 2 });
		}
	});

	it('in one sync nothing is written at all', () => {
		const rig = new Rig().add(A, endpoints('a', E)).listed().sync();
		rig.maps.kernel.take();
		rig.sinks.services.remove('ns/a');
		rig.add(A).sync();
		expect(rig.maps.kernel.take()).toEqual([]);
	});

	it('a patched nodePort leaves the backends as they are, and moves two frontends of each address', () => {
		const rig = new Rig().add(A, endpoints('a', E)).listed().sync();
		const before = backendsOf(rig);
		rig
			.add(
				web(
					'a',
					'10.96.0.1',
					PORTS.map((port) => ({ ...port, nodePort: 30099 })),
				),
			)
			.sync();
		expect(backendsOf(rig)).toEqual(before);
		expect(rig.lineOf('frontend 192.168.10.11:30080')).toBe('');
		expect(rig.lineOf('frontend 192.168.10.11:30099/tcp external')).toContain(`${E}:8080/tcp`);
	});

	it('a change of type or port takes the id of none that lives', () => {
		const rig = new Rig().add({ ...A, ...B }, { ...endpoints('a', E), ...endpoints('b', E) }).listed();
		const before = of(rig.sync(), 'b');
		const ports = PORTS.map(({ nodePort: _, ...port }) => ({ ...port, port: 81 }));
		rig.add({ 'ns/a': service('ns/a', { ips: ['10.96.0.1'], ports }) }).sync();
		expect(of(rig, 'b')).toEqual(before);
		const ids = [...before.values()].map(({ id }) => id);
		for (const { id } of of(rig, 'a').values()) expect(ids).not.toContain(id);
	});
});

describe('the sizes of the maps', () => {
	it('hold 10 000 Services of 10 endpoints that all of them share', () => {
		const admission = new Admission({
			frontends: MAPS.frontends.maxEntries,
			backends: MAPS.backends.maxEntries,
			sourceRanges: MAPS.source_ranges.maxEntries,
			chunks: TABLE_SEGMENT_CHUNKS,
			segments: TABLE_SEGMENTS,
		});
		const services = new Map<string, Translation>();
		for (let i = 0; i < 10_000; i++) {
			const portKey = `ns/s${i}:80/tcp`;
			const backends = Array.from({ length: 10 }, (_, n) => {
				const ip = parseIp(`10.1.0.${n}`)!;
				return { key: `10.1.0.${n}:80/tcp`, portKey, ip, port: 80, protocol: 'tcp', local: false } as const;
			});
			const frontends = (['external', 'internal'] as const).map((scope) => ({
				...{
					claim: `10.96.${i >> 8}.${i & 255}:80/tcp`,
					ip: parseIp('10.96.0.1')!,
					port: 80,
					scope,
					portKey,
				},
				...({
					protocol: 'tcp',
					kind: 'clusterip',
					loopback: false,
					drop: false,
					affinitySeconds: 0,
				} as const),
				...{ shared: false, closed: true, sources: undefined, backends },
			}));
			services.set(`ns/s${i}`, { key: `ns/s${i}`, created: i, frontends, kept: backends });
		}
		for (const [key, translation] of services) admission.update(key, translation);
		expect([...admission.refused(services)]).toEqual([]);
	});
});
