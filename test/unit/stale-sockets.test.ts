import { describe, expect, it } from 'vitest';
import { MAPS, sockFrontendCodec, sockKeyCodec } from '../../agent/abi/layout.ts';
import { FakeHash, FakeKernel, fakeServiceMaps } from '../../agent/bpf/fake.ts';
import type { BackendGroup, Destroyed } from '../../agent/bpf/sock-destroy.ts';
import { type GoneBackend, StaleSockets } from '../../agent/features/stale-sockets.ts';
import { parseIp } from '../../agent/model/ip.ts';
import { backendKey, backendName } from '../../agent/plan/kernel.ts';
import { service, slice } from './reconcile-objects.ts';
import { Rig, TestClock } from './reconcile-rig.ts';

const TCP = 6;
const UDP = 17;
const backend = (proto: number, address: string, port = 80, serviceId = 1): GoneBackend => ({
	addr: parseIp(address)!.bytes,
	port,
	proto,
	serviceId,
});

function setup(answer: (group: BackendGroup) => Destroyed = () => ({ sockets: 1, more: false, left: 0 })) {
	const clock = new TestClock();
	const calls: string[] = [];
	const events: string[] = [];
	const served = new Set<string>();
	const counts = { tcp: 0, udp: 0, failed: 0 };
	const log = (_: object, event: string) => void events.push(event);
	const stale = new StaleSockets({
		destroy(group) {
			const names = group.backends.map(({ addr, serviceId }) => {
				const name = backendName({ ...group, addr });
				return group.proto === UDP && serviceId !== 1 ? backendKey(name, serviceId) : name;
			});
			calls.push(`${clock.now()} ${names.join()}`);
			return answer(group);
		},
		serves: (name, serviceId) => served.has(serviceId === undefined ? name : backendKey(name, serviceId)),
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
		const { stale, clock, calls, counts } = setup(() => ({ sockets: 512, more: --left > 0, left: 0 }));
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
		for (const [cookie, { addr, port, proto, serviceId }] of [
			[1n, backend(TCP, '10.0.0.1')],
			[2n, backend(TCP, '10.0.0.1', 80, 2)],
			[3n, backend(UDP, 'fd00::1')],
			[4n, backend(TCP, '10.0.0.2')],
			[5n, backend(UDP, '10.0.0.3', 80, 2)],
			[6n, backend(UDP, '10.0.0.3', 80, 3)],
			[7n, backend(UDP, '::', 0, 0)],
		] as const) {
			const rest = { backendId: 1, backendGeneration: 1, netnsCookie: 0n };
			const value = sockFrontendCodec.encode({ addr, port, serviceId, ...rest });
			map.update(sockKeyCodec.encode({ cookie, addr, port, proto }), value);
		}
		served.add('10.0.0.2:80/tcp').add('10.0.0.3:80/udp of 3');
		stale.adopt(map);
		clock.advance(5000);
		expect(calls).toEqual(['200 [fd00::1]:80/udp,10.0.0.3:80/udp of 2', '1000 10.0.0.1:80/tcp']);
	});

	it('looks again at TCP whose peer may live, less and less often, until none is left or it is served', () => {
		let left = 6;
		const { stale, clock, calls, served } = setup(() => ({ sockets: 0, more: false, left: left-- }));
		stale.gone([backend(TCP, '10.0.0.1')]);
		clock.advance(60_000);
		const times = calls.map((call) => Number(call.split(' ')[0]));
		expect(times).toEqual([1000, 2000, 4000, 8000, 16_000, 26_000, 36_000]);
		left = 100;
		stale.gone([backend(TCP, '10.0.0.1')]);
		clock.advance(3000);
		expect(calls).toHaveLength(9);
		served.add('10.0.0.1:80/tcp');
		clock.advance(60_000);
		expect(calls).toHaveLength(9);
	});

	it('moves UDP of the Service that has lost the endpoint, not TCP, while another Service has it', () => {
		const { stale, clock, calls, served } = setup();
		served.add('10.0.0.1:80/udp of 2').add('10.0.0.1:80/tcp');
		stale.gone([backend(UDP, '10.0.0.1', 80, 1), backend(TCP, '10.0.0.1', 80, 1)]);
		clock.advance(5000);
		expect(calls).toEqual(['200 10.0.0.1:80/udp']);
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
