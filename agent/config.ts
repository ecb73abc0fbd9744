import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import * as z from 'zod';
import { parseCidr } from './model/cidr.ts';
import { parseIp } from './model/ip.ts';

/** Address at which a server listens. */
export interface ListenAddress {
	readonly host: string;
	readonly port: number;
}

export interface Config {
	/** Name of the Node object that this agent serves. */
	readonly nodeName: string;
	/** Absent: the service account of the pod. */
	readonly kubeconfig?: string;
	/** Overrides the address of the API server. */
	readonly apiServer?: string;
	/** `host:port` of the API server from the environment of a pod. */
	readonly inCluster?: string;
	/** Directory of the pins, before the ABI version is appended. */
	readonly pinPath: string;
	/** cgroup v2 directory whose sockets are served; 'auto': the root of the cgroup2 mount. */
	readonly cgroup: string;
	/** Second cgroup in which only sockets of the node's own network namespace are served. */
	readonly hostCgroup?: string;
	/** Sockets that are balanced: all, only those of the host, or all but those of labelled pods. */
	readonly socketLb: 'all' | 'host' | 'labels';
	readonly xdp: 'auto' | 'native' | 'generic' | 'off';
	readonly devices: 'auto' | readonly string[];
	readonly endpointsSource: 'auto' | 'endpointslices' | 'endpoints';
	/** Addresses that serve NodePorts: the node's primary ones, or all of its own in these CIDRs. */
	readonly nodeportAddresses: 'primary' | readonly string[];
	/** Addresses allowed as externalIPs: all that are not reserved, or only those in these CIDRs. */
	readonly externalIps: 'any' | readonly string[];
	/** Ranges of ClusterIPs: those of the API server, or these. Packets to others are not dropped. */
	readonly serviceCidrs: 'auto' | readonly string[];
	/** Whether ICMP echo requests to service addresses are answered. */
	readonly answerEcho: boolean;
	/** Addresses of the DNS server; an unspecified host means those of the node. Empty: no server. */
	readonly dns: readonly ListenAddress[];
	readonly dnsDomain: string;
	/** namespace/name of the Service by which pods reach DNS. */
	readonly dnsService: string;
	/** Name servers for names outside of the cluster: those of resolv.conf, none, or these. */
	readonly dnsUpstream: 'auto' | 'off' | readonly ListenAddress[];
	/** CIDRs of addresses without names elsewhere. */
	readonly dnsReverse: readonly string[];
	/** Whether host ports of this node's pods are served. */
	readonly hostPorts: boolean;
	/** Absent: not served. */
	readonly healthAddress?: ListenAddress;
	readonly metricsAddress?: ListenAddress;
	/** Source ports of packets that are forwarded to other nodes, both limits included. */
	readonly snatPorts: { readonly min: number; readonly max: number };
	/** Slots of a Maglev table; 'auto': depends on the number of backends. */
	readonly tableSize: 'auto' | number;
	readonly ffi: 'koffi' | 'ffi-napi';
	/** Directory of compiled BPF objects. */
	readonly bpfCache?: string;
	readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
}

export type ConfigKey = Exclude<keyof Config, 'inCluster'>;

/** A setting: flag `--name`, environment variable MAGLANE_NAME, and `key` in the file. */
export interface Setting {
	readonly key: ConfigKey;
	readonly flag: string;
	readonly env: string;
	/** Placeholder of the value in the help. */
	readonly value: string;
	readonly help: string;
	readonly fallback?: string;
	/** kube-proxy's name of the flag, which is accepted too. */
	readonly alias?: string;
}

/** An invalid setting. The message has its name, its origin and the expected value. Exit code 2. */
export class ConfigError extends Error {
	override readonly name = 'ConfigError';
}

const setting = (key: ConfigKey, value: string, help: string, fallback?: string): Setting => {
	const kebab = key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
	const env = `MAGLANE_${kebab.replaceAll('-', '_').toUpperCase()}`;
	return { key, flag: `--${kebab}`, env, value, help, ...(fallback !== undefined && { fallback }) };
};

/** All settings, in the order of the help. */
export const SETTINGS: readonly Setting[] = [
	setting('nodeName', '<name>', 'name of this Node object; absent: the host name'),
	setting('kubeconfig', '<file>', 'kubeconfig; absent: the service account of the pod'),
	setting('apiServer', '<url>', 'address of the API server, not the ClusterIP that this agent implements'),
	setting('pinPath', '<dir>', 'bpffs directory of maps and links', '/sys/fs/bpf/maglane'),
	setting('cgroup', '<dir>', 'cgroup v2 whose sockets are served; auto: the cgroup2 mount', 'auto'),
	setting('hostCgroup', '<dir>', "second cgroup, where only sockets of the node's own netns are served"),
	setting(
		'socketLb',
		'<whose>',
		'sockets that are balanced: all, host, or labels: all but of pods with maglane.io/socket-lb=off',
		'all',
	),
	setting('xdp', '<mode>', 'auto, native, generic or off', 'auto'),
	setting('devices', '<list>', 'auto, or devices that face other nodes: eth0,eth1', 'auto'),
	setting('endpointsSource', '<kind>', 'auto, endpointslices or endpoints', 'auto'),
	setting('nodeportAddresses', '<list>', 'primary, or CIDRs of the addresses where NodePorts are', 'primary'),
	setting('externalIps', '<list>', 'any, none, or CIDRs in which externalIPs are served', 'any'),
	setting('serviceCidrs', '<list>', 'auto, none, or ranges whose unallocated ClusterIPs are dropped', 'auto'),
	setting('answerEcho', '<on|off>', 'answer ping of service addresses that have a backend', 'off'),
	setting('dns', '<list>', "serve DNS at these address:port; :10253 is at the node's addresses; off", 'off'),
	setting('dnsDomain', '<name>', "the cluster's domain", 'cluster.local'),
	setting(
		'dnsService',
		'<ns/name>',
		'the Service of which this is the local backend',
		'kube-system/kube-dns',
	),
	setting(
		'dnsUpstream',
		'<list>',
		"others' name servers; auto: those of /etc/resolv.conf; off: none",
		'auto',
	),
	setting('hostPorts', '<on|off>', "serve hostPort of this node's pods, where no CNI plugin does", 'off'),
	setting('dnsReverse', '<list>', 'CIDRs whose addresses have no names elsewhere: 10.96.0.0/12', ''),
	{
		...setting('healthAddress', '<host:port>', 'healthz, livez and readyz; off: none', ':10256'),
		alias: '--healthz-bind-address',
	},
	{
		...setting('metricsAddress', '<host:port>', 'metrics for Prometheus; off: none', '127.0.0.1:10249'),
		alias: '--metrics-bind-address',
	},
	setting('snatPorts', '<min-max>', 'source ports of connections to other nodes', '10260-29999'),
	setting('tableSize', '<prime>', 'slots of a Maglev table; auto: by the number of backends', 'auto'),
	setting('ffi', '<library>', 'koffi or ffi-napi', 'koffi'),
	setting('bpfCache', '<dir>', 'directory of compiled BPF objects'),
	setting('logLevel', '<level>', 'trace, debug, info, warn, error, fatal or silent', 'info'),
];

const NODE_PORTS = { min: 30000, max: 32767 };
const LARGEST_TABLE = 131_071;

const path = z.string().startsWith('/', 'expected an absolute path');

function parseListen(text: string): ListenAddress | undefined {
	const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
	const port = Number(match?.[3]);
	return match && port <= 65_535 ? { host: match[1] ?? (match[2] || '::'), port } : undefined;
}

/** An address without a port has the usual one, as with kube-proxy. */
const listenAddress = (usual: number) =>
	z.string().transform((text, context): ListenAddress | undefined => {
		if (text === 'off' || text === '') return undefined;
		if (parseIp(text)) return { host: text, port: usual };
		return parseListen(text) ?? fail(context, 'expected host:port, [ipv6]:port or off');
	});

const dns = z.string().transform((text, context): readonly ListenAddress[] => {
	if (text === 'off' || text === '') return [];
	return text.split(',').map((item) => {
		const address = parseListen(item.trim());
		if (address && parseIp(address.host)) return address;
		return fail(context, `"${item.trim()}" is no address; expected :port, address:port, [ipv6]:port or off`);
	});
});

const dnsUpstream = z.string().transform((text, context): 'auto' | 'off' | readonly ListenAddress[] => {
	if (text === 'auto' || text === 'off') return text;
	return text.split(',').map((item): ListenAddress => {
		const bare = item.trim();
		if (parseIp(bare)) return { host: bare, port: 53 };
		const match = /^(?:\[(.+)\]|([^:]+)):(\d{1,5})$/.exec(bare);
		const host = match?.[1] ?? match?.[2] ?? '';
		const port = Number(match?.[3]);
		if (parseIp(host) && port > 0 && port <= 65_535) return { host, port };
		return fail(
			context,
			`"${bare}" is no address; expected auto, off, or for example 1.1.1.1,[fd00::1]:5353`,
		);
	});
});

const portRange = z.string().transform((text, context) => {
	const [min = 0, max = 0] = /^(\d+)-(\d+)$/.exec(text)?.slice(1).map(Number) ?? [];
	if (min < 1024 || max > 65_535 || min > max) return fail(context, 'expected min-max within 1024-65535');
	if (min <= NODE_PORTS.max && max >= NODE_PORTS.min) {
		return fail(context, `must not meet the NodePort range ${NODE_PORTS.min}-${NODE_PORTS.max}`);
	}
	return { min, max };
});

const tableSize = z.string().transform((text, context): 'auto' | number => {
	if (text === 'auto') return text;
	const size = /^\d+$/.test(text) ? Number(text) : 0;
	if (size > LARGEST_TABLE || !isPrime(size)) {
		return fail(context, `expected auto or a prime up to ${LARGEST_TABLE}, for example 251, 2039 or 16381`);
	}
	return size;
});

const devices = z.string().transform((text, context): 'auto' | readonly string[] => {
	if (text === 'auto') return text;
	const names = text.split(',').map((name) => name.trim());
	// IFNAMSIZ is 16 with the terminating zero
	const wrong = names.find((name) => !/^[^\s/]{1,15}$/.test(name));
	return wrong === undefined ? names : fail(context, `"${wrong}" is no device name`);
});

/** CIDRs, or one of the words. Errors name the first word. */
const cidrsOr = <W extends string>(words: ReadonlyMap<string, W | readonly string[]>) =>
	z.string().transform((text, context): W | readonly string[] => {
		const meant = words.get(text);
		if (meant !== undefined) return meant;
		const cidrs = text.split(',').map((cidr) => cidr.trim());
		const wrong = cidrs.find((cidr) => !parseCidr(cidr));
		if (wrong === undefined) return cidrs;
		const word = [...words.keys()].find((key) => key !== '');
		const expected = `${word ? `${word}, or ` : ''}for example 192.168.0.0/16,fd00::/8`;
		return fail(context, `"${wrong}" is no CIDR; expected ${expected}`);
	});

const orNone = <W extends string>(word: W) =>
	cidrsOr(
		new Map<string, W | readonly string[]>([
			[word, word],
			['none', []],
			['', []],
		]),
	);

const onOff = z.enum(['on', 'off']).transform((text) => text === 'on');

const schema = z.object({
	nodeName: z.string().regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'expected a DNS subdomain in lower case'),
	kubeconfig: z.string().min(1).optional(),
	apiServer: z
		.string()
		.regex(/^https?:\/\/./, 'expected http://host:port or https://host:port')
		.optional(),
	pinPath: path,
	cgroup: z.literal('auto', 'expected auto or an absolute path').or(path),
	hostCgroup: path.optional(),
	socketLb: z.enum(['all', 'host', 'labels']),
	xdp: z.enum(['auto', 'native', 'generic', 'off']),
	devices,
	endpointsSource: z.enum(['auto', 'endpointslices', 'endpoints']),
	// an empty list: kube-proxy's default
	nodeportAddresses: cidrsOr<'primary'>(
		new Map([
			['primary', 'primary'],
			['', 'primary'],
		]),
	),
	externalIps: orNone('any'),
	serviceCidrs: orNone('auto'),
	answerEcho: onOff,
	dns,
	dnsDomain: z
		.string()
		.regex(
			/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
			'expected a domain in lower case',
		),
	dnsService: z.string().regex(/^[-a-z0-9]+\/[-a-z0-9]+$/, 'expected namespace/name of a Service'),
	dnsUpstream,
	dnsReverse: cidrsOr<never>(new Map([['', []]])),
	hostPorts: onOff,
	healthAddress: listenAddress(10_256),
	metricsAddress: listenAddress(10_249),
	snatPorts: portRange,
	tableSize,
	ffi: z.enum(['koffi', 'ffi-napi']),
	bpfCache: path.optional(),
	logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
});

export type Environment = Readonly<Record<string, string | undefined>>;

/** Only this function reads the environment. */
export function environment(): Environment {
	return process.env;
}

interface Given {
	readonly text: string;
	/** Source of the value for a message: a flag, a variable, a field of the file. */
	readonly origin: string;
}

/**
 * Loads settings from flags, the environment, the YAML file (`--config`, MAGLANE_CONFIG) and
 * defaults, in this order.
 *
 * @param flags by key, as commander returns them
 * @throws ConfigError for the first invalid setting
 */
export async function loadConfig(
	flags: Readonly<Record<string, unknown>>,
	env: Environment,
): Promise<Config> {
	const fileName = (flags['config'] as string | undefined) ?? env['MAGLANE_CONFIG'];
	const file = fileName ? await readConfigFile(fileName) : {};
	const given = new Map<string, Given>();
	for (const { key, flag, env: variable, fallback, alias = '' } of SETTINGS) {
		const candidates: [unknown, string][] = [
			[flags[key], flag],
			[flags[camelCase(alias)], alias],
			[env[variable] || undefined, variable],
			[file[key], `field ${key} of ${fileName}`],
			[key === 'nodeName' ? hostname().toLowerCase() : fallback, `default of ${flag}`],
		];
		const found = candidates.find(([value]) => value !== undefined);
		if (found) given.set(key, { text: textOf(found[0]), origin: found[1] });
	}
	const parsed = schema.safeParse(Object.fromEntries([...given].map(([key, { text }]) => [key, text])));
	if (!parsed.success) throw configError(parsed.error.issues[0], given);
	const inCluster = inClusterAddress(env);
	return deepFreeze(withoutUndefined({ ...parsed.data, inCluster }));
}

/** Property name that commander derives from a flag. */
function camelCase(flag: string): string {
	return flag.replace(/^--/, '').replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function withoutUndefined(settings: { [K in keyof Config]: Config[K] | undefined }): Config {
	const defined = Object.entries(settings).filter(([, value]) => value !== undefined);
	return Object.fromEntries(defined) as unknown as Config;
}

async function readConfigFile(name: string): Promise<Record<string, unknown>> {
	let raw: unknown;
	try {
		raw = (await import('yaml')).parse(readFileSync(name, 'utf8'));
	} catch (cause) {
		throw new ConfigError(`Cannot read config file ${name} (--config): ${String(cause)}`, { cause });
	}
	if (raw === null) return {};
	if (typeof raw !== 'object' || Array.isArray(raw)) {
		throw new ConfigError(`Config file ${name} holds no mapping`);
	}
	const keys: readonly string[] = SETTINGS.map(({ key }) => key);
	const unknown = Object.keys(raw).find((key) => !keys.includes(key));
	if (unknown !== undefined) {
		throw new ConfigError(`Config file ${name} has unknown field ${unknown}; known are ${keys.join(', ')}`);
	}
	return raw as Record<string, unknown>;
}

function textOf(value: unknown): string {
	return Array.isArray(value) ? value.join(',') : String(value);
}

function configError(issue: z.core.$ZodIssue | undefined, given: ReadonlyMap<string, Given>): ConfigError {
	const key = String(issue?.path[0]);
	const { text, origin } = given.get(key) ?? { text: '', origin: key };
	const wanted =
		issue?.code === 'invalid_value' ? `expected one of ${issue.values.join(', ')}` : (issue?.message ?? '');
	return new ConfigError(`Invalid ${origin} "${text}": ${wanted}`);
}

/** `host:port` of the API server from the environment of a pod. */
export function inClusterAddress(env: Environment): string | undefined {
	const host = env['KUBERNETES_SERVICE_HOST'];
	if (!host) return undefined;
	return `${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`;
}

function isPrime(n: number): boolean {
	for (let d = 2; d * d <= n; d++) {
		if (n % d === 0) return false;
	}
	return n > 1;
}

function fail(context: z.core.$RefinementCtx, message: string): never {
	context.addIssue({ code: 'custom', message });
	return z.NEVER;
}

function deepFreeze<T>(value: T): T {
	if (typeof value === 'object' && value !== null) Object.values(value).forEach(deepFreeze);
	return Object.freeze(value);
}
