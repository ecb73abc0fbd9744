import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { expectations } from '../../scripts/demo/targets.ts';
import { parseMounts } from '../../standalone/cluster/mounts.ts';
import { parseOptions, zoneOf } from '../../standalone/cluster/options.ts';
import { pathsOf } from '../../standalone/cluster/paths.ts';
import { getJson } from '../../standalone/cluster/target.ts';
import { nodeAddresses, PodNumbers, podAddresses } from '../../standalone/net/addresses.ts';
import { podLinkName, podNamespace } from '../../standalone/net/names.ts';
import { createLimit } from '../../standalone/node/limit.ts';
import { socketPath } from '../../standalone/unix-path.ts';

const flags = {
	prefix: 'maglane',
	nodes: '2',
	families: 'v4,v6',
	state: '.m',
	port: '0',
	net: true,
	agents: true,
};

test('parseOptions() reads the flags; no network means no agents', () => {
	expect(parseOptions(flags)).toMatchObject({
		prefix: 'maglane',
		nodes: 2,
		families: ['v4', 'v6'],
		agents: true,
	});
	expect(parseOptions({ ...flags, net: false })).toMatchObject({ network: false, agents: false });
});

test.each([
	[{ nodes: '3' }, ['zone-a', 'zone-b', 'zone-c']],
	[{ nodes: '3', zones: 'zone-a,zone-a,zone-b' }, ['zone-a', 'zone-a', 'zone-b']],
	[{ nodes: '3', zones: 'west' }, ['west', 'west', 'west']],
])('nodes get their zones in turn: %j', (given, wanted) => {
	const { nodes, zones } = parseOptions({ ...flags, ...given });
	expect(Array.from({ length: nodes }, (_, i) => zoneOf(zones, i + 1))).toEqual(wanted);
});

test.each([
	[{ nodes: '0' }, /--nodes 0: expected a whole number from 1 to 89/],
	[{ nodes: '2x' }, /--nodes 2x/],
	[{ port: '70000' }, /--port 70000/],
	[{ families: 'v4,v4' }, /--families v4,v4/],
	[{ families: 'ipv4' }, /--families ipv4/],
	[{ zones: 'a,b,c' }, /--zones a,b,c: 3 zones for 2 nodes/],
	[{ zones: 'a,' }, /--zones a,: "" is no label value/],
	[{ prefix: 'a-b' }, /prefix "a-b"/],
	[{ prefix: '' }, /prefix ""/],
	[{ prefix: 'abcdefghijklmnop' }, /1 to 15/],
])('parseOptions(%j) is refused', (wrong, message) => {
	expect(() => parseOptions({ ...flags, ...wrong })).toThrow(message);
});

test('parseMounts() finds cgroup2 beside v1 and unescapes blanks', () => {
	const text = [
		'37 31 0:34 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd',
		'38 31 0:35 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw',
		'39 31 0:36 / /mnt/a\\040b rw - bpf bpf rw',
		'',
	].join('\n');
	expect(parseMounts(text)).toEqual([
		{ point: '/sys/fs/cgroup/systemd', type: 'cgroup' },
		{ point: '/sys/fs/cgroup/unified', type: 'cgroup2' },
		{ point: '/mnt/a b', type: 'bpf' },
	]);
});

test('a unix socket stays in its directory where the path has more than the 107 bytes of sun_path', async () => {
	const short = socketPath('/a/control.sock');
	expect(short.path).toBe('/a/control.sock');
	const root = mkdtempSync(join(tmpdir(), 'mln-long-'));
	const { controlSocket } = pathsOf(join(root, 'x'.repeat(120)));
	mkdirSync(dirname(controlSocket), { mode: 0o700 });
	const server = createServer((_request, response) => response.end('{"alive":true}'));
	try {
		await new Promise<void>((done) => server.listen(socketPath(controlSocket).path, done));
		expect(statSync(controlSocket).isSocket()).toBe(true);
		expect(await getJson(controlSocket, '/')).toEqual({ alive: true });
	} finally {
		server.close();
		rmSync(root, { recursive: true });
	}
});

test('addresses show the same number in both families', () => {
	expect(nodeAddresses(1)).toEqual({ v4: '192.168.10.11', v6: 'fd00:10::11' });
	expect(podAddresses(2, 17)).toEqual({ v4: '10.244.2.17', v6: 'fd00:244:2::17' });
	expect(() => nodeAddresses(90)).toThrow(RangeError);
});

test('PodNumbers does not give a number again at once, and says when none is left', () => {
	const numbers = new PodNumbers();
	const first = numbers.take();
	numbers.release(first);
	expect(numbers.take()).toBe(first + 1);
	for (let i = 0; i < 252; i++) numbers.take();
	expect(() => numbers.take()).toThrow(/all 253/);
	numbers.release(100);
	expect(numbers.take()).toBe(100);
});

test('podNamespace() is plain where it can be, unique where it must be', () => {
	expect(podNamespace('m', 'default', 'web-1')).toBe('m-default-web-1');
	const other = podNamespace('m', 'default-web', '1', (name) => name === 'm-default-web-1');
	expect(other).toMatch(/^m-default-web-1-[0-9a-f]{8}$/);
	expect(podNamespace('m', 'default', 'p'.repeat(253)).length).toBeLessThanOrEqual(200);
	expect(podLinkName('default', 'p'.repeat(253), 'uid')).toMatch(/^veth[0-9a-f]{8}$/);
});

test('createLimit() runs no more at once than it may, and all of them', async () => {
	const limit = createLimit(2);
	let running = 0;
	let most = 0;
	const action = async (i: number) => {
		most = Math.max(most, ++running);
		await new Promise((resolve) => setTimeout(resolve, 1));
		running--;
		if (i === 3) throw new Error('third');
		return i;
	};
	const results = await Promise.allSettled(Array.from({ length: 7 }, (_, i) => limit(() => action(i))));
	expect(most).toBe(2);
	expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(6);
});

test('expectations() asks NodePorts from everywhere, ClusterIPs in the cluster, families of the Service only', () => {
	const node = {
		metadata: { name: 'node1' },
		spec: {},
		status: {
			addresses: [
				{ type: 'InternalIP', address: '192.168.10.11' },
				{ type: 'InternalIP', address: 'fd00:10::11' },
			],
		},
	};
	const service = (spec: object) => ({
		metadata: { name: 's', namespace: 'default' },
		spec: { selector: { a: 'b' }, ...spec },
	});
	const ways = (spec: object) =>
		expectations([service(spec)], [node]).map((one) => `${one.from} ${one.address}:${one.port}`);
	const port = { port: 80, nodePort: 30080, protocol: 'TCP' };
	expect(ways({ clusterIPs: ['10.96.0.9'], ipFamilies: ['IPv4'], ports: [port] })).toEqual([
		'pod 10.96.0.9:80',
		'host 10.96.0.9:80',
		'pod 192.168.10.11:30080',
		'host 192.168.10.11:30080',
		'outside 192.168.10.11:30080',
		'host 127.0.0.1:30080',
	]);
	expect(
		ways({ clusterIPs: ['None'], ipFamilies: ['IPv4'], ports: [{ port: 80, protocol: 'TCP' }] }),
	).toEqual([]);
	expect(ways({ clusterIPs: ['10.96.0.9'], selector: {}, ports: [port] })).toEqual([]);
	expect(ways({ clusterIPs: ['10.96.0.9'], ports: [{ ...port, protocol: 'SCTP' }] })).toEqual([]);
});
