/** Builds a pod's /etc/hosts and /etc/resolv.conf, like the kubelet. Pure. */
import type { Pod } from '../port.ts';
import { hostnameOf } from './env.ts';

/** The kubelet options --cluster-domain and --cluster-dns. */
export interface DnsFacts {
	readonly zone: string;
	/** Addresses of the cluster's DNS. */
	readonly nameservers: readonly string[];
}

/** The pod's fully qualified name in its subdomain; undefined without one. */
function fqdnOf(pod: Pod, zone: string): string | undefined {
	const { subdomain, hostNetwork } = pod.spec ?? {};
	if (!subdomain || hostNetwork) return undefined;
	return `${hostnameOf(pod)}.${subdomain}.${pod.metadata.namespace}.svc.${zone}`;
}

/** The kernel's limit for a host name (utsname(2)). */
const MAX_HOSTNAME = 64;

/**
 * The pod's kernel host name.
 * @throws RangeError if setHostnameAsFQDN gives a name beyond the kernel's limit.
 */
export function kernelHostname(pod: Pod, zone: string): string {
	if (pod.spec?.hostNetwork) return pod.spec.nodeName!;
	const fqdn = pod.spec?.setHostnameAsFQDN ? fqdnOf(pod, zone) : undefined;
	if (fqdn === undefined || fqdn.length <= MAX_HOSTNAME) return fqdn ?? hostnameOf(pod);
	throw new RangeError(
		`Failed to construct FQDN from pod hostname and cluster domain, FQDN ${fqdn} is too long (${MAX_HOSTNAME} characters is the max, ${fqdn.length} characters requested)`,
	);
}

const STANDARD_HOSTS = `# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
`;

/** @param machine the machine's own file. Pods with hostNetwork get its lines too. */
export function hostsFile(pod: Pod, podIPs: readonly string[], zone: string, machine: string): string {
	const names = [fqdnOf(pod, zone), hostnameOf(pod)].filter((name) => name !== undefined);
	const own = podIPs.map((ip) => `${[ip, ...names].join('\t')}\n`);
	const head = pod.spec?.hostNetwork
		? `# Kubernetes-managed hosts file (host network).\n${machine}`
		: `${STANDARD_HOSTS}${own.join('')}`;
	const aliases = pod.spec?.hostAliases ?? [];
	if (aliases.length === 0) return head;
	const lines = aliases.map(({ ip, hostnames = [] }) => `${[ip, ...hostnames].join('\t')}\n`);
	return `${head}\n# Entries added by HostAliases.\n${lines.join('')}`;
}

type DnsConfig = NonNullable<Pod['spec']['dnsConfig']>;

interface Resolver {
	readonly nameservers: readonly string[];
	readonly searches: readonly string[];
	/** As in the file, like `ndots:5` or `rotate`. */
	readonly options: readonly string[];
}

/** @param machine the machine's own file, for dnsPolicy Default */
export function resolvConf(pod: Pod, dns: DnsFacts, machine: string): string {
	const { nameservers, searches, options } = withConfig(
		policyResolver(pod, dns, machine),
		pod.spec?.dnsConfig,
	);
	const lines = [
		...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
		...nameservers.map((address) => `nameserver ${address}`),
		...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
	];
	return lines.map((line) => `${line}\n`).join('');
}

/**
 * The resolver of the pod's dnsPolicy. ClusterFirst uses only the cluster's search list, because
 * the machine's list does not belong to a node.
 */
function policyResolver(pod: Pod, { zone, nameservers }: DnsFacts, machine: string): Resolver {
	const { dnsPolicy = 'ClusterFirst', hostNetwork = false } = pod.spec ?? {};
	if (dnsPolicy === 'None') return { nameservers: [], searches: [], options: [] };
	if (dnsPolicy === 'Default' || (dnsPolicy === 'ClusterFirst' && hostNetwork)) return parseResolver(machine);
	const searches = [`${pod.metadata.namespace}.svc.${zone}`, `svc.${zone}`, zone];
	return { nameservers, searches, options: ['ndots:5'] };
}

/** Parses resolv.conf(5): the last `search` applies, `options` accumulate. */
function parseResolver(text: string): Resolver {
	const words = text.split('\n').map((line) => line.trim().split(/\s+/));
	const of = (keyword: string) => words.filter(([first]) => first === keyword).map(([, ...rest]) => rest);
	return {
		nameservers: of('nameserver').flat(),
		searches: of('search').at(-1) ?? [],
		options: of('options').flat(),
	};
}

/** Appends the pod's dnsConfig. Its options replace options of the policy with the same name. */
function withConfig(resolver: Resolver, config: DnsConfig = {}): Resolver {
	const byName = new Map(resolver.options.map((option) => [option.split(':', 1)[0]!, option]));
	for (const { name, value } of config.options ?? [])
		byName.set(name!, value === undefined || value === '' ? name! : `${name}:${value}`);
	return {
		nameservers: [...new Set([...resolver.nameservers, ...(config.nameservers ?? [])])],
		searches: [...new Set([...resolver.searches, ...(config.searches ?? [])])],
		options: [...byName.values()],
	};
}
