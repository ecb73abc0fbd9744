import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { Reason } from '../../agent/abi/layout.ts';
import type { Config } from '../../agent/config.ts';
import { filledMaps, runMaglane } from './cli-fixture.ts';

const servers: Server[] = [];

/** Starts an agent that serves `status` at /statusz. @returns its address */
async function agentThatSays(status: object): Promise<string> {
	const server = createServer((_request, response) => response.end(JSON.stringify(status)));
	servers.push(server);
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const GOOD = {
	node: 'node1',
	synced: true,
	attachments: [
		{ program: 'ml_xdp', target: 'eth0', mode: 'native' },
		{ program: 'ml_from_netdev', target: 'eth0', mode: 'tcx' },
	],
	degradations: [],
	problems: [],
	watches: {},
	services: {},
};
const NOBODY = '127.0.0.1:1';

afterEach(() => {
	for (const server of servers.splice(0)) server.close();
});

describe('maglane service list', () => {
	it('prints frontends with the shares of their tables', async () => {
		const { code, out } = await runMaglane(['service', 'list', '--metrics-address', NOBODY]);
		expect(code).toBe(0);
		expect(out).toBe(
			[
				'SERVICE  FRONTEND                 KIND       FROM      BACKENDS',
				'1        10.96.0.1:80/tcp         clusterip  all       10.244.1.2:8080*(68%) 10.244.2.3:8080(32%)',
				'2        [fd00:10::11]:30053/udp  nodeport   external  <none: drop>',
				'',
			].join('\n'),
		);
	});

	it('names the Services where an agent answers', async () => {
		const services = { 1: 'default/web:80/tcp', 2: 'kube-system/dns:53/udp' };
		const address = await agentThatSays({ ...GOOD, services });
		const { out } = await runMaglane(['svc', '--metrics-address', address, '-o', 'json']);
		expect(JSON.parse(out)).toMatchObject([
			{
				service: 'default/web:80/tcp',
				serviceId: 1,
				address: '10.96.0.1:80',
				scopes: ['internal', 'external'],
				tableSize: 19,
				backends: [
					{ address: '10.244.1.2:8080', share: 13 / 19, local: true },
					{ address: '10.244.2.3:8080', share: 6 / 19, local: false },
				],
			},
			{ service: 'kube-system/dns:53/udp', empty: 'drop', backends: [] },
		]);
	});

	it('prints YAML', async () => {
		const { out } = await runMaglane(['service', 'list', '-o', 'yaml', '--metrics-address', NOBODY]);
		expect(parse(out)[1]).toMatchObject({ address: '[fd00:10::11]:30053', kind: 'nodeport' });
	});

	it('shows a table entry whose backend is gone as such', async () => {
		const maps = filledMaps();
		maps.backends.update(Uint8Array.of(2, 0, 0, 0), new Uint8Array(maps.backends.valueSize));
		const { out } = await runMaglane(['service', 'list', '--metrics-address', NOBODY], {
			openPins: async () => maps,
		});
		expect(out).toContain('<gone: 2>(32%)');
	});

	it('says where it looked when nothing is pinned', async () => {
		const openPins = async (): Promise<never> => {
			throw new Error('ENOENT');
		};
		const { code, out, err } = await runMaglane(['service', 'list', '--pin-path', '/x'], { openPins });
		expect([code, out]).toEqual([1, '']);
		expect(err).toBe(
			'maglane: Cannot open the maps under /x: has an agent run on this node, and is --pin-path its own?\n  because: ENOENT\n',
		);
	});
});

describe('maglane conn list', () => {
	it('prints each flow once, from its forward half', async () => {
		const { out } = await runMaglane(['conn', 'list', '-o', 'json']);
		expect(JSON.parse(out)).toEqual([
			{
				protocol: 'tcp',
				client: '192.168.10.100:40000',
				frontend: '192.168.10.11:30080',
				backend: '10.244.2.3:8080',
				source: '192.168.10.11:61000',
				flags: ['snat', 'established'],
				serviceId: 1,
			},
		]);
	});

	it('refuses a limit that is no number', async () => {
		const { code, err } = await runMaglane(['conn', 'list', '--limit', 'many']);
		expect(code).toBe(2);
		expect(err).toContain("'--limit <n>' argument 'many' is invalid");
	});
});

describe('maglane counters', () => {
	it('sums CPUs and leaves out what never happened', async () => {
		const { out } = await runMaglane(['counters', '-o', 'json']);
		expect(JSON.parse(out)).toEqual([
			{ reason: 'to_remote', packets: 7, bytes: 700 },
			{ reason: 'drop_ttl', packets: 1, bytes: 100 },
		]);
		const all = await runMaglane(['counters', '--all', '-o', 'json']);
		expect(JSON.parse(all.out)).toHaveLength(Reason.COUNT);
	});

	it('aligns numbers to the right', async () => {
		const { out } = await runMaglane(['counters']);
		expect(out).toBe('REASON     PACKETS  BYTES\nto_remote        7    700\ndrop_ttl         1    100\n');
	});
});

describe('maglane status', () => {
	it('is 0 when an agent is in sync', async () => {
		const address = await agentThatSays(GOOD);
		const { code, out } = await runMaglane(['status', '--metrics-address', address]);
		expect(code).toBe(0);
		expect(out).toContain('Agent       in sync (node1)');
		expect(out).toContain('Services    2 ports, 3 frontends, 1 without backends');
		expect(out).toContain('Attached    eth0: ml_xdp (native), ml_from_netdev (tcx, first)\n');
		expect(out).toContain('Dropped     1 drop_ttl');
	});

	it('prints what answers in the place of an agent, and lets it not command the terminal', async () => {
		const evil = '\u001b]0;x\u0007\u009b2J\r\n';
		const address = await agentThatSays({
			...GOOD,
			node: `node${evil}`,
			watches: { [`services${evil}`]: { listed: false, error: `gone${evil}` } },
			degradations: [evil],
			problems: [{ object: evil, field: evil, message: evil }],
			services: { 1: `default/web${evil}` },
		});
		for (const command of ['status', 'service']) {
			const args = command === 'service' ? ['service', 'list'] : ['status'];
			const { out } = await runMaglane([...args, '--metrics-address', address]);
			expect(out).toContain('\uFFFD]0;x\uFFFD\uFFFD2J\uFFFD\uFFFD');
			expect(out).not.toMatch(/(?!\n)\p{Control}/u);
		}
	});

	it('is 3 when no agent answers, and still shows the kernel', async () => {
		const { code, out } = await runMaglane(['status', '--metrics-address', NOBODY, '-o', 'json']);
		expect(code).toBe(3);
		expect(JSON.parse(out)).toMatchObject({ agent: null, kernel: { frontends: 3, drops: { drop_ttl: 1 } } });
		const table = await runMaglane(['status', '--metrics-address', NOBODY]);
		expect(table.out).toContain('Attached    connect4\nAttached    xdp on 1 device\n');
	});

	it('is 3 when degraded, and names what and which objects', async () => {
		const problem = { object: 'Service default/web', field: 'spec.ports[0].port', message: 'is 0' };
		const address = await agentThatSays({
			...GOOD,
			degradations: ['XDP on eth0 is generic'],
			problems: [problem],
			watches: {
				services: { listed: true, error: 'connect ECONNREFUSED' },
				pods: { listed: false, error: 'List of pods: 403 Forbidden: no' },
			},
			lastError: 'Cannot update map frontends: E2BIG',
		});
		const { code, out } = await runMaglane(['status', '--metrics-address', address]);
		expect(code).toBe(3);
		expect(out).toContain('Degraded    XDP on eth0 is generic');
		expect(out).toContain('Problem     Service default/web spec.ports[0].port: is 0');
		expect(out).toContain('Watch       services: connect ECONNREFUSED\n');
		expect(out).toContain('Watch       pods: List of pods: 403 Forbidden: no; give the agent the rights');
		expect(out).toContain(
			'Failing     Cannot update map frontends: E2BIG; BPF programs still serve the last written Services',
		);
	});

	it('colours a terminal and respects NO_COLOR', async () => {
		const address = await agentThatSays(GOOD);
		const texts: string[] = [];
		const stdout = { isTTY: true, write: (text: string) => texts.push(text) };
		await runMaglane(['status', '--metrics-address', address], { stdout });
		await runMaglane(['status', '--metrics-address', address], { stdout, env: { NO_COLOR: '1' } });
		const colour = '\u001b[';
		expect([texts[0]!.includes(colour), texts[1]!.includes(colour)]).toEqual([true, false]);
	});
});

describe('maglane', () => {
	it('version prints text, JSON and YAML', async () => {
		expect((await runMaglane(['version'])).out).toBe(
			'maglane 1.2.3 (ABI 1, Node v24.0.0, Linux 6.1.0 x64)\n',
		);
		expect(JSON.parse((await runMaglane(['version', '-o', 'json'])).out)).toMatchObject({
			version: '1.2.3',
			abi: 1,
		});
	});

	it('cleanup names what it removed', async () => {
		const paths: string[] = [];
		const cleanup = async (path: string) => {
			paths.push(path);
			return { removed: [`${path}/v1/frontends`] };
		};
		const { code, out } = await runMaglane(['cleanup', '--pin-path', '/sys/fs/bpf/x'], { cleanup });
		expect([code, out]).toEqual([0, 'removed /sys/fs/bpf/x/v1/frontends\n']);
		expect(paths).toEqual(['/sys/fs/bpf/x']);
	});

	it('agent gets its settings from flags and environment and passes its exit code on', async () => {
		const configs: Config[] = [];
		const runAgent = async (config: Config): Promise<number> => configs.push(config) + 2;
		const env = { MAGLANE_XDP: 'generic' };
		const { code, err } = await runMaglane(['agent', '--node-name', 'n1', '--snat-ports', '62000-63000'], {
			runAgent,
			env,
		});
		expect([code, err]).toEqual([3, '']);
		expect(configs).toMatchObject([
			{ nodeName: 'n1', xdp: 'generic', snatPorts: { min: 62000, max: 63000 } },
		]);
	});

	it.each([
		[['agent', '--xdp', 'fast'], 'Invalid --xdp "fast": expected one of auto, native, generic, off'],
		[['agent', '--no-such-flag'], "unknown option '--no-such-flag'"],
		[['no-such-command'], "unknown command 'no-such-command'"],
		[['counters', '-o', 'xml'], 'Allowed choices are table, json, yaml'],
	])('%o is wrong usage: exit code 2', async (args, message) => {
		const { code, err } = await runMaglane(args);
		expect(code).toBe(2);
		expect(err).toContain(message);
	});

	it('loads a late command only when it is called', async () => {
		const loaded: string[] = [];
		const late = {
			standalone: {
				summary: 'run a cluster',
				load: async () => {
					loaded.push('standalone');
					return (program: import('commander').Command) => {
						program
							.command('standalone')
							.command('up')
							.action(() => void loaded.push('up'));
					};
				},
			},
		};
		const help = await runMaglane(['--help'], {}, late);
		expect(help.code).toBe(0);
		expect(help.out).toContain('run a cluster');
		expect(loaded).toEqual([]);
		await runMaglane(['standalone', 'up'], {}, late);
		expect(loaded).toEqual(['standalone', 'up']);
	});
});
