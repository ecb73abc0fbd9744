import { describe, expect, it } from 'vitest';
import { MAPS, sockKeyCodec } from '../../agent/abi/layout.ts';
import { FakeHash, FakeKernel, fakeServiceMaps } from '../../agent/bpf/fake.ts';
import type { BackendGroup, Destroyed } from '../../agent/bpf/sock-destroy.ts';
import { parseIp } from '../../agent/model/ip.ts';
import { backendName } from '../../agent/plan/kernel.ts';
import { type GoneBackend, StaleSockets } from '../../agent/stale-sockets.ts';
import { service, slice } from './reconcile-objects.ts';
import { Rig, TestClock } from './reconcile-rig.ts';

const TCP = 6;
const UDP = 17;
const backend = (proto: number, address: string, port = 80): GoneBackend => ({
	addr: parseIp(address)!.bytes,
	port,
	proto,
});

function setup(answer: (group: BackendGroup) => Destroyed = () => ({ sockets: 1, more: false })) {
	const clock = new TestClock();
	const calls: string[] = [];
	const events: string[] = [];
	const served = new Set<string>();
	const counts = { tcp: 0, udp: 0, failed: 0 };
	const log = (_: object, event: string) => void events.push(event);
	const stale = new StaleSockets({
		destroy(group) {
			const names = group.addresses.map((addr) => backendName({ ...group, addr }));
			calls.push(`${clock.now()} ${names.join()}`);
			return answer(group);
		},
		serves: (name) => served.has(name),
		clock,
		log: { debug: log, info: log, warn: log, error: log },
		counted: (proto, sockets) => {
			counts[proto] += sockets;
		},
		failed: () => {
			counts.failed++;
		},
	});
	return { stale, clock, calls, events, served, counts };
}

describe('StaleSockets', () => {
	it('ends sockets of UDP after 200 ms and of TCP after a second, all of a port at once', () => {
		const { stale, clock, calls, counts } = setup();
		stale.gone([backend(TCP, '10.0.0.1'), backend(UDP, '10.0.0.1'), backend(TCP, 'fd00::1')]);
		clock.advance(5000);
		expect(calls).toEqual(['200 10.0.0.1:80/udp', '1000 10.0.0.1:80/tcp,[fd00::1]:80/tcp']);
		expect(counts).toEqual({ tcp: 1, udp: 1, failed: 0 });
	});

	it('leaves a backend alone that is back in time, and waits anew when it goes again', () => {
		const { stale, clock, calls, served } = setup();
		stale.gone([backend(TCP, '10.0.0.1')]);
		clock.advance(500);
		served.add('10.0.0.1:80/tcp');
		clock.advance(200);
		served.clear();
		stale.gone([backend(TCP, '10.0.0.1')]);
		clock.advance(900);
		expect(calls).toEqual([]);
		clock.advance(100);
		expect(calls).toEqual(['1700 10.0.0.1:80/tcp']);
	});

	it('looks for at most four ports a tick', () => {
		const { stale, clock, calls } = setup();
		stale.gone(Array.from({ length: 10 }, (_, i) => backend(UDP, '10.0.0.1', 80 + i)));
		clock.advance(199);
		expect(calls).toHaveLength(0);
		clock.advance(1);
		expect(calls).toHaveLength(4);
		clock.advance(100);
		expect(calls).toHaveLength(8);
		clock.advance(1000);
		expect(calls).toHaveLength(10);
		expect(new Set(calls.map((call) => call.split(' ')[1])).size).toBe(10);
	});

	it('goes on in the next tick where there was more than one call ends', () => {
		let left = 3;
		const { stale, clock, calls, counts } = setup(() => ({ sockets: 512, more: --left > 0 }));
		stale.gone([backend(UDP, '10.0.0.1')]);
		clock.advance(2000);
		expect(calls).toHaveLength(3);
		expect(counts.udp).toBe(3 * 512);
	});

	it('counts every failure, logs each kind once, and does not try again', () => {
		const { stale, clock, events, counts, calls } = setup(() => {
			throw new Error('Cannot destroy a socket');
		});
		stale.gone([backend(UDP, '10.0.0.1'), backend(UDP, '10.0.0.1', 81)]);
		clock.advance(5000);
		expect([calls.length, counts.failed, events]).toEqual([2, 2, ['sockets.destroy-failed']]);
	});

	it('finds in the sockets map what an agent before it left, each backend once', () => {
		const { stale, clock, calls, served } = setup();
		const map = new FakeHash(new FakeKernel(), { ...MAPS.sockets, lru: true });
		const value = new Uint8Array(map.valueSize);
		for (const [cookie, { addr, port, proto }] of [
			[1n, backend(TCP, '10.0.0.1')],
			[2n, backend(TCP, '10.0.0.1')],
			[3n, backend(UDP, 'fd00::1')],
			[4n, backend(TCP, '10.0.0.2')],
		] as const)
			map.update(sockKeyCodec.encode({ cookie, addr, port, proto }), value);
		served.add('10.0.0.2:80/tcp');
		stale.adopt(map);
		clock.advance(5000);
		expect(calls).toEqual(['200 [fd00::1]:80/udp', '1000 10.0.0.1:80/tcp']);
	});

	it('does nothing after close()', () => {
		const { stale, clock, calls } = setup();
		stale.gone([backend(UDP, '10.0.0.1')]);
		stale.close();
		clock.advance(5000);
		expect(calls).toEqual([]);
	});
});

describe('Reconciler', () => {
	it('tells of backends that no Service has, also those that went while no agent ran', () => {
		const maps = fakeServiceMaps({ backends: 4096 });
		const gone: string[][] = [];
		const backendsGone = (backends: readonly GoneBackend[]) => void gone.push(backends.map(backendName));
		const rig = new Rig({ maps, backendsGone }).listed();
		const services = { 'ns/a': service('ns/a') };
		rig.add(services, { 'ns/a-x': slice('a', ['10.0.0.1', '10.0.0.2', '10.0.0.3']) }).sync();
		expect(gone).toEqual([]);
		const terminating = { ready: false, serving: false, terminating: true };
		const ending = slice('a', [{ ip: '10.0.0.1', conditions: terminating }, '10.0.0.3']);
		rig.add({}, { 'ns/a-x': ending }).sync();
		expect(gone.splice(0)).toEqual([['10.0.0.2:8080/tcp']]);
		expect(rig.reconciler.hasBackend('10.0.0.1:8080/tcp')).toBe(true);
		expect(rig.reconciler.hasBackend('10.0.0.2:8080/tcp')).toBe(false);

		const restarted = new Rig({ maps, backendsGone }).add(services, { 'ns/a-x': slice('a', ['10.0.0.3']) });
		restarted.listed().sync();
		expect(gone).toEqual([['10.0.0.1:8080/tcp']]);
	});
});
