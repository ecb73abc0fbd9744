import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
	type Conn,
	ConnFlag,
	connCodec,
	FrontendFlag,
	FrontendScope,
	frontendCodec,
	frontendKeyCodec,
	MAPS,
	tupleCodec,
} from '../../agent/abi/layout.ts';
import { fakeServiceMaps } from '../../agent/bpf/fake.ts';
import { FakeHash } from '../../agent/bpf/fake-map.ts';
import { parseIp } from '../../agent/model/ip.ts';
import { service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

const KEY = 'default/web';
const NODE = '192.168.10.11';
const MINUTE = 60_000;
const bytesOf = (text: string) => parseIp(text)!.bytes;
const seen = { packet: 1, more: 1, fin: 0, rst: 0 };

describe('frontends that no Service has any more', () => {
	let rig: Rig;
	let connections: FakeHash;
	let abort: AbortController;

	const nodePort = (port: number) => ({
		[KEY]: service(KEY, {
			ports: [{ port: 80, nodePort: port, targetPort: 8080, protocol: 'TCP' }],
			spec: { type: 'NodePort' },
		}),
	});
	const slices = { 'default/web-1': slice('web', ['10.244.1.10']) };
	const start = (maps = fakeServiceMaps({ backends: 4096, frontends: 64 })) => {
		connections = new FakeHash(maps.kernel, { ...MAPS.connections, lru: true, maxEntries: 64 });
		rig = new Rig({ maps, connections });
		rig.add(nodePort(30080), slices).listed().sync();
		abort = new AbortController();
		void rig.reconciler.run(abort.signal);
	};
	beforeEach(() => start());

	/** Flags of a frontend in the map. */
	const flagsOf = (port: number, address = NODE, proto = 6) => {
		const key = { addr: bytesOf(address), port, proto, scope: FrontendScope.EXTERNAL };
		const value = rig.maps.frontends.lookup(frontendKeyCodec.encode(key));
		return value && frontendCodec.decode(value).flags;
	};
	const connect = (sport: number, port: number, changes: Partial<Conn> = {}) => {
		const key = { saddr: bytesOf('192.168.10.100'), sport, daddr: bytesOf(NODE), dport: port, proto: 6 };
		const conn: Conn = {
			nat: key,
			backendId: 1,
			backendGeneration: 1,
			serviceId: 1,
			flags: ConnFlag.FORWARD,
			lastSeen: 1,
			addrDiff: 0,
			portDiff: 0,
			frontendEpoch: 0,
			claim: 0,
			slot: 0,
			backendClosedFirst: 0,
			own: seen,
			peer: seen,
			...changes,
		};
		connections.update(tupleCodec.encode(key), connCodec.encode(conn));
	};
	afterEach(() => expect(rig.wrongBits()).toEqual([]));
	const remove = () => {
		rig.sinks.services.remove(KEY);
		rig.sync();
	};

	it('stay for their TCP connections, and go when the last one has', () => {
		connect(4000, 30080);
		remove();
		expect(flagsOf(30080)).toBe(FrontendFlag.ENDED);
		rig.clock.advance(5 * MINUTE);
		expect(flagsOf(30080)).toBe(FrontendFlag.ENDED);
		connect(4000, 30080, { own: { ...seen, fin: 1 }, peer: { ...seen, fin: 1 } });
		rig.clock.advance(MINUTE);
		expect(flagsOf(30080)).toBeUndefined();
	});

	it('go within a minute when there are none, and after two hours without a packet', () => {
		remove();
		rig.clock.advance(MINUTE);
		expect(flagsOf(30080)).toBeUndefined();
		rig.add(nodePort(30080)).sync();
		connect(4000, 30080);
		remove();
		rig.clock.advance(100 * MINUTE);
		connect(4000, 30080, { lastSeen: 2 });
		rig.clock.advance(100 * MINUTE);
		expect(flagsOf(30080)).toBe(FrontendFlag.ENDED);
		rig.clock.advance(30 * MINUTE);
		expect(flagsOf(30080)).toBeUndefined();
	});

	it('are a Service’s again when one gets their address', () => {
		connect(4000, 30080);
		remove();
		rig.add(nodePort(30080)).sync();
		expect(flagsOf(30080)! & FrontendFlag.ENDED).toBe(0);
		rig.clock.advance(5 * MINUTE);
		expect(flagsOf(30080)! & FrontendFlag.ENDED).toBe(0);
	});

	it('are those of a nodePort that changes, too', () => {
		connect(4000, 30080);
		rig.add(nodePort(30081)).sync();
		expect(flagsOf(30080)).toBe(FrontendFlag.ENDED);
		expect(flagsOf(30081)! & FrontendFlag.NODEPORT).not.toBe(0);
	});

	it('are known to the next agent', () => {
		connect(4000, 30080);
		remove();
		abort.abort();
		const { maps } = rig;
		rig = new Rig({ maps, connections });
		rig.listed().sync();
		void rig.reconciler.run(new AbortController().signal);
		expect(flagsOf(30080)).toBe(FrontendFlag.ENDED);
		expect(rig.reconciler.snapshot().counts.frontends).toBe(0);
		connections.delete([...connections.entries()][0]![0]);
		rig.clock.advance(MINUTE);
		expect(flagsOf(30080)).toBeUndefined();
	});

	it('make room for those of Services', () => {
		abort.abort();
		start(fakeServiceMaps({ backends: 4096, frontends: 8 }));
		connect(4000, 30080);
		for (let port = 30081; port < 30100; port++) rig.add(nodePort(port)).sync();
		expect([...rig.maps.frontends.entries()].length).toBeLessThanOrEqual(8);
		expect(flagsOf(30099)! & FrontendFlag.NODEPORT).not.toBe(0);
		expect(rig.reconciler.snapshot().failures).toBe(0);
	});

	it('are not UDP’s: that leaves with its Service', () => {
		const udp = [{ port: 53, nodePort: 30053, targetPort: 53, protocol: 'UDP' }];
		rig
			.add({
				'default/dns': service('default/dns', { spec: { type: 'NodePort' }, ips: ['10.96.0.9'], ports: udp }),
			})
			.sync();
		expect(flagsOf(30053, NODE, 17)).toBeDefined();
		rig.sinks.services.remove('default/dns');
		rig.sync();
		expect(flagsOf(30053, NODE, 17)).toBeUndefined();
	});
});
