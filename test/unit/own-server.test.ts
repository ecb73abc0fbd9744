import { describe, expect, it } from 'vitest';
import { parseIp } from '../../agent/model/ip.ts';
import { service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

const KEY = 'kube-system/kube-dns';
const PORTS = [
	{ name: 'dns', port: 53, protocol: 'UDP' },
	{ name: 'dns-tcp', port: 53, protocol: 'TCP' },
	{ name: 'metrics', port: 9153, protocol: 'TCP' },
];
const DNS = service(KEY, { ips: ['10.96.0.10', 'fd00:10:96::a'], ports: PORTS });
const SLICES = {
	'kube-system/a': slice('kube-dns', [{ ip: '10.244.2.2' }, { ip: '10.244.3.2' }], PORTS),
	'kube-system/b': slice('kube-dns', ['fd00:244:2::2'], PORTS),
};
const own = (...addresses: string[]) => ({
	service: KEY,
	port: 53,
	addresses: addresses.map((text) => ({ ip: parseIp(text)!, port: 10_253 })),
});

/** The backends of each frontend for clients on the node. */
function backends(rig: Rig): Record<string, string> {
	const lines = rig.dump().split('\n');
	const found = lines.flatMap(
		(line) => /^frontend (\S+) internal .* backends: (.*)$/.exec(line)?.slice(1) ?? [],
	);
	const pairs = Array.from({ length: found.length / 2 }, (_, i) => found.slice(2 * i, 2 * i + 2));
	return Object.fromEntries(pairs.map(([name, list]) => [name, list!.replaceAll(/ x\d+/g, '')]));
}

const CLUSTER = {
	'10.96.0.10:53/tcp': '10.244.2.2:53/tcp 10.244.3.2:53/tcp',
	'10.96.0.10:53/udp': '10.244.2.2:53/udp 10.244.3.2:53/udp',
	'10.96.0.10:9153/tcp': '10.244.2.2:9153/tcp 10.244.3.2:9153/tcp',
	'[fd00:10:96::a]:53/tcp': '[fd00:244:2::2]:53/tcp',
	'[fd00:10:96::a]:53/udp': '[fd00:244:2::2]:53/udp',
	'[fd00:10:96::a]:9153/tcp': '[fd00:244:2::2]:9153/tcp',
};

describe("a server of the node's own for a port of a Service", () => {
	const rig = () =>
		new Rig()
			.listed()
			.add({ [KEY]: DNS }, SLICES)
			.sync();

	it('is the only backend of that port on this node, and a local one', () => {
		const made = rig();
		made.reconciler.setOwnServer(own('192.168.10.11', 'fd00:10::11'));
		made.sync();
		expect(backends(made)).toEqual({
			...CLUSTER,
			'10.96.0.10:53/tcp': '192.168.10.11:10253/tcp',
			'10.96.0.10:53/udp': '192.168.10.11:10253/udp',
			'[fd00:10:96::a]:53/tcp': '[fd00:10::11]:10253/tcp',
			'[fd00:10:96::a]:53/udp': '[fd00:10::11]:10253/udp',
		});
		expect(made.lineOf('backend 192.168.10.11:10253/udp')).toContain('local');
	});

	it('leaves a family in which it has no address to the cluster', () => {
		const made = rig();
		made.reconciler.setOwnServer(own('192.168.10.11'));
		made.sync();
		expect(backends(made)).toMatchObject({
			'10.96.0.10:53/udp': '192.168.10.11:10253/udp',
			'[fd00:10:96::a]:53/udp': '[fd00:244:2::2]:53/udp',
		});
	});

	it('gives way to what the cluster has when it ends, and takes over when that has nothing', () => {
		const made = new Rig().listed().add({ [KEY]: DNS });
		made.reconciler.setOwnServer(own('192.168.10.11'));
		made.sync();
		expect(backends(made)).toMatchObject({ '10.96.0.10:53/udp': '192.168.10.11:10253/udp' });
		made.add({}, SLICES);
		made.reconciler.setOwnServer(own());
		made.sync();
		expect(backends(made)).toEqual(CLUSTER);
	});

	it('is written with the first sync when it is ready by then', () => {
		const made = new Rig({
			changed: (keys) => {
				expect([...keys]).toEqual([KEY]);
				made.reconciler.setOwnServer(own('192.168.10.11'));
			},
		});
		made
			.listed()
			.add({ [KEY]: DNS }, SLICES)
			.sync();
		expect(backends(made)).toMatchObject({ '10.96.0.10:53/udp': '192.168.10.11:10253/udp' });
	});
});

describe('changed()', () => {
	it('is told of each Service that may mean something else, with its endpoints', () => {
		const told: [string, string[]][] = [];
		const made = new Rig({
			changed: (keys, sources) => {
				for (const key of keys) told.push([key, sources(key).map((source) => source.key)]);
			},
		});
		made
			.listed()
			.add({ [KEY]: DNS, 'default/web': service('default/web') }, SLICES)
			.sync();
		made.sinks.endpoints.remove('kube-system/b');
		made.sync();
		expect(told).toEqual([
			[KEY, ['kube-system/a', 'kube-system/b']],
			['default/web', []],
			[KEY, ['kube-system/a']],
		]);
	});
});
