import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ConfigError, loadConfig, SETTINGS } from '../../agent/config.ts';

const dirs: string[] = [];

function configFile(text: string): string {
	const dir = mkdtempSync(join(tmpdir(), 'mlk-config-'));
	dirs.push(dir);
	writeFileSync(join(dir, 'maglane.yaml'), text);
	return join(dir, 'maglane.yaml');
}

afterEach(() => {
	for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true });
});

describe('loadConfig()', () => {
	it('has a default for everything that needs one', async () => {
		expect(await loadConfig({}, {})).toEqual({
			nodeName: hostname().toLowerCase(),
			nodeportAddresses: 'primary',
			hostPorts: false,
			externalIps: 'any',
			serviceCidrs: 'auto',
			answerEcho: false,
			pinPath: '/sys/fs/bpf/maglane',
			cgroup: 'auto',
			socketLb: 'all',
			xdp: 'auto',
			devices: 'auto',
			endpointsSource: 'auto',
			dns: [],
			dnsDomain: 'cluster.local',
			dnsService: 'kube-system/kube-dns',
			dnsUpstream: 'auto',
			dnsReverse: [],
			healthAddress: { host: '::', port: 10256 },
			metricsAddress: { host: '127.0.0.1', port: 10249 },
			snatPorts: { min: 10_260, max: 29_999 },
			tableSize: 'auto',
			ffi: 'koffi',
			logLevel: 'info',
		});
	});

	it('prefers flags to the environment to the file', async () => {
		const file = configFile('xdp: generic\ndevices: [eth0, eth1]\nnodeName: from-file\ntableSize: 251\n');
		const env = { MAGLANE_XDP: 'native', MAGLANE_NODE_NAME: 'from-env', MAGLANE_CONFIG: file };
		const config = await loadConfig({ nodeName: 'from-flag' }, env);
		expect(config).toMatchObject({
			nodeName: 'from-flag',
			xdp: 'native',
			devices: ['eth0', 'eth1'],
			tableSize: 251,
		});
	});

	it('names each setting alike as a flag, in the environment and in the file', () => {
		const { key, flag, env } = SETTINGS.find((s) => s.key === 'endpointsSource')!;
		expect([key, flag, env]).toEqual(['endpointsSource', '--endpoints-source', 'MAGLANE_ENDPOINTS_SOURCE']);
	});

	it('reads where DNS is served, and who knows the names of others', async () => {
		const flags = {
			dns: ':10253',
			dnsUpstream: '192.0.2.1, [fd00::1]:5353,fd00::2',
			dnsReverse: '10.0.0.0/8,fc00::/7',
		};
		expect(await loadConfig(flags, {})).toMatchObject({
			dns: [{ host: '::', port: 10_253 }],
			dnsUpstream: [
				{ host: '192.0.2.1', port: 53 },
				{ host: 'fd00::1', port: 5353 },
				{ host: 'fd00::2', port: 53 },
			],
			dnsReverse: ['10.0.0.0/8', 'fc00::/7'],
		});
	});

	it.each([
		['dns', '[::1]:53,localhost:53', '"localhost:53" is no address'],
		['dnsUpstream', '192.0.2.1,dns.example', '"dns.example" is no address'],
		['dnsReverse', '10.0.0.0', '"10.0.0.0" is no CIDR'],
		['dnsDomain', 'Cluster.local', 'lower case'],
		['dnsService', 'kube-dns', 'namespace/name'],
	])('refuses %s %s', async (key, text, message) => {
		await expect(loadConfig({ [key]: text }, {})).rejects.toThrow(message);
	});

	it('is frozen all the way down', async () => {
		const config = await loadConfig({}, {});
		expect(Object.isFrozen(config) && Object.isFrozen(config.snatPorts)).toBe(true);
	});

	it.each([
		['[::]:9000', { host: '::', port: 9000 }],
		[':9000', { host: '::', port: 9000 }],
		['[fd00:10::1]:1', { host: 'fd00:10::1', port: 1 }],
		['localhost:0', { host: 'localhost', port: 0 }],
		['0.0.0.0', { host: '0.0.0.0', port: 10256 }],
		['fd00::1', { host: 'fd00::1', port: 10256 }],
		['off', undefined],
	])('reads the address %s', async (healthAddress, expected) => {
		expect((await loadConfig({ healthAddress }, {})).healthAddress).toEqual(expected);
	});

	it('knows the names of kube-proxy for them, and says in an error which was given', async () => {
		const config = await loadConfig({ healthzBindAddress: '10.0.0.1', metricsBindAddress: '[::1]:9' }, {});
		expect(config.healthAddress).toEqual({ host: '10.0.0.1', port: 10256 });
		expect(config.metricsAddress).toEqual({ host: '::1', port: 9 });
		await expect(loadConfig({ healthzBindAddress: 'x' }, {})).rejects.toThrow(
			'Invalid --healthz-bind-address "x"',
		);
	});

	it.each([
		['primary', 'primary'],
		['', 'primary'],
		['10.0.0.0/8, fd00::/8', ['10.0.0.0/8', 'fd00::/8']],
	])('reads where NodePorts are: %j', async (nodeportAddresses, expected) => {
		expect((await loadConfig({ nodeportAddresses }, {})).nodeportAddresses).toEqual(expected);
	});

	it('takes an empty list of a file for the default', async () => {
		const config = configFile('nodeportAddresses: []\n');
		expect((await loadConfig({ config }, {})).nodeportAddresses).toBe('primary');
	});

	it('finds the API server of the pod that it runs in', async () => {
		const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
		expect((await loadConfig({}, env)).inCluster).toBe('[fd00::1]:6443');
	});

	it.each([
		[{ xdp: 'fast' }, {}, 'Invalid --xdp "fast": expected one of auto, native, generic, off'],
		[{}, { MAGLANE_FFI: 'ctypes' }, 'Invalid MAGLANE_FFI "ctypes": expected one of koffi, ffi-napi'],
		[
			{ snatPorts: '32000-40000' },
			{},
			'Invalid --snat-ports "32000-40000": must not meet the NodePort range',
		],
		[{ snatPorts: '70-90' }, {}, 'Invalid --snat-ports "70-90": expected min-max within 1024-65535'],
		[{ tableSize: '1000' }, {}, 'Invalid --table-size "1000": expected auto or a prime up to 131071'],
		[{ tableSize: '131101' }, {}, 'Invalid --table-size "131101": expected auto or a prime'],
		[{ pinPath: 'pins' }, {}, 'Invalid --pin-path "pins": expected an absolute path'],
		[{ cgroup: 'pods' }, {}, 'Invalid --cgroup "pods": '],
		[{ metricsAddress: '10249' }, {}, 'Invalid --metrics-address "10249": expected host:port'],
		[{ metricsAddress: 'h:70000' }, {}, 'Invalid --metrics-address "h:70000": expected host:port'],
		[{ devices: 'eth0,a-much-too-long-name' }, {}, '"a-much-too-long-name" is no device name'],
		[
			{ nodeportAddresses: 'primary,10.0.0.0/8' },
			{},
			'"primary" is no CIDR; expected primary, or for example',
		],
		[{ nodeportAddresses: '10.0.0.0/33' }, {}, 'Invalid --nodeport-addresses "10.0.0.0/33": '],
		[
			{ externalIps: '192.0.2.1' },
			{},
			'Invalid --external-ips "192.0.2.1": "192.0.2.1" is no CIDR; expected any',
		],
		[{ serviceCidrs: 'on' }, {}, 'Invalid --service-cidrs "on": "on" is no CIDR; expected auto'],
		[{ answerEcho: 'yes' }, {}, 'Invalid --answer-echo "yes": expected one of on, off'],
		[{ nodeName: 'Node_1' }, {}, 'Invalid --node-name "Node_1": expected a DNS subdomain'],
		[{ apiServer: 'api:6443' }, {}, 'Invalid --api-server "api:6443": expected http://host:port'],
	])('refuses %o %o by name, with the remedy', async (flags, env, message) => {
		const error = await loadConfig(flags, env).catch((e: unknown) => e);
		expect(error).toBeInstanceOf(ConfigError);
		expect((error as Error).message).toContain(message);
	});

	it.each([
		[{}, ['any', 'auto']],
		[{ externalIps: 'none', serviceCidrs: 'none' }, [[], []]],
		[
			{ externalIps: '192.0.2.0/24', serviceCidrs: '10.96.0.0/16, fd00:10:96::/112' },
			[['192.0.2.0/24'], ['10.96.0.0/16', 'fd00:10:96::/112']],
		],
	])('reads where externalIPs and ClusterIPs are: %j', async (flags, expected) => {
		const { externalIps, serviceCidrs } = await loadConfig(flags, {});
		expect([externalIps, serviceCidrs]).toEqual(expected);
	});

	it.each([
		['xdp: fast\n', /Invalid field xdp of .*maglane.yaml "fast": expected one of auto/],
		['xpd: off\n', /unknown field xpd; known are nodeName/],
		['- a\n', /holds no mapping/],
		['a: [\n', /Cannot read config file/],
	])('names the field of a file that says %j', async (text, message) => {
		await expect(loadConfig({ config: configFile(text) }, {})).rejects.toThrow(message);
	});

	it('takes an empty file for no settings and says when there is no file', async () => {
		expect((await loadConfig({ config: configFile('') }, {})).xdp).toBe('auto');
		await expect(loadConfig({ config: '/nonexistent.yaml' }, {})).rejects.toThrow(/--config.*ENOENT/);
	});
});
