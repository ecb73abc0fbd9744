/** What a pod's processes find as /etc/hosts and /etc/resolv.conf, as the kubelet writes them. Pure. */
import type { Fields, KubeObject } from '../port.ts';
import { hostnameOf } from './env.ts';

/** A kubelet's --cluster-domain and --cluster-dns. */
export interface DnsFacts {
	readonly zone: string;
	/** Addresses of the cluster's DNS. */
	readonly nameservers: readonly string[];
}

/** The pod's name within its subdomain, if it has one. */
function fqdnOf(pod: KubeObject, zone: string): string | undefined {
	const { subdomain, hostNetwork } = pod.spec ?? {};
	if (!subdomain || hostNetwork) return undefined;
	return `${hostnameOf(pod)}.${subdomain}.${pod.metadata.namespace}.svc.${zone}`;
}

/** The kernel's own limit of a host name (utsname(2)). */
const MAX_HOSTNAME = 64;

/** What `hostname` says in the pod. @throws RangeError for a setHostnameAsFQDN that the kernel cannot hold. */
export function kernelHostname(pod: KubeObject, zone: string): string {
	if (pod.spec?.hostNetwork) return pod.spec.nodeName;
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

/** @param machine the machine's own file, which a pod in its node's network has too */
export function hostsFile(pod: KubeObject, podIPs: readonly string[], zone: string, machine: string): string {
	const names = [fqdnOf(pod, zone), hostnameOf(pod)].filter((name) => name !== undefined);
	const own = podIPs.map((ip) => `${[ip, ...names].join('\t')}\n`);
	const head = pod.spec?.hostNetwork
		? `# Kubernetes-managed hosts file (host network).\n${machine}`
		: `${STANDARD_HOSTS}${own.join('')}`;
	const aliases: { ip: string; hostnames?: string[] }[] = pod.spec?.hostAliases ?? [];
	if (aliases.length === 0) return head;
	const lines = aliases.map(({ ip, hostnames = [] }) => `${[ip, ...hostnames].join('\t')}\n`);
	return `${head}\n# Entries added by HostAliases.\n${lines.join('')}`;
}

interface Resolver {
	readonly nameservers: readonly string[];
	readonly searches: readonly string[];
	/** As in the file: `ndots:5`, `rotate`. */
	readonly options: readonly string[];
}

/** @param machine the machine's own file, for dnsPolicy Default */
export function resolvConf(pod: KubeObject, dns: DnsFacts, machine: string): string {
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

/** A ClusterFirst pod has the cluster's search list alone: the machine's belongs to no node of it. */
function policyResolver(pod: KubeObject, { zone, nameservers }: DnsFacts, machine: string): Resolver {
	const { dnsPolicy = 'ClusterFirst', hostNetwork = false } = pod.spec ?? {};
	if (dnsPolicy === 'None') return { nameservers: [], searches: [], options: [] };
	if (dnsPolicy === 'Default' || (dnsPolicy === 'ClusterFirst' && hostNetwork)) return parseResolver(machine);
	const searches = [`${pod.metadata.namespace}.svc.${zone}`, `svc.${zone}`, zone];
	return { nameservers, searches, options: ['ndots:5'] };
}

/** resolv.conf(5): the last `search` counts, `options` add up. */
function parseResolver(text: string): Resolver {
	const words = text.split('\n').map((line) => line.trim().split(/\s+/));
	const of = (keyword: string) => words.filter(([first]) => first === keyword).map(([, ...rest]) => rest);
	return {
		nameservers: of('nameserver').flat(),
		searches: of('search').at(-1) ?? [],
		options: of('options').flat(),
	};
}

/** The pod's own settings come behind; an option of the same name takes the place of the policy's. */
function withConfig(resolver: Resolver, config: Fields = {}): Resolver {
	const byName = new Map(resolver.options.map((option) => [option.split(':', 1)[0]!, option]));
	for (const { name, value } of config.options ?? [])
		byName.set(name, value === undefined || value === '' ? name : `${name}:${value}`);
	return {
		nameservers: [...new Set([...resolver.nameservers, ...(config.nameservers ?? [])])],
		searches: [...new Set([...resolver.searches, ...(config.searches ?? [])])],
		options: [...byName.values()],
	};
}
