import { expect, test } from 'vitest';
import { hostsFile, kernelHostname, resolvConf } from '../../standalone/node/pod-files.ts';
import type { Pod } from '../../standalone/port.ts';

type Spec = Partial<Pod['spec']>;
const pod = (spec: Spec): Pod => ({
	metadata: { name: 'web-1', namespace: 'shop' },
	spec: { containers: [], ...spec },
});
const dns = { zone: 'cluster.local', nameservers: ['10.96.0.10'] };
const machine = 'search lan\nnameserver 9.9.9.9\nnameserver 8.8.8.8\noptions rotate\n';
const conf = (spec: Spec) => resolvConf(pod(spec), dns, machine);
const CLUSTER =
	'search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n';
const MACHINE = 'search lan\nnameserver 9.9.9.9\nnameserver 8.8.8.8\noptions rotate\n';

test.each([
	['ClusterFirst by default', {}, CLUSTER],
	['ClusterFirst in the network of the node is Default', { hostNetwork: true }, MACHINE],
	['ClusterFirstWithHostNet', { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }, CLUSTER],
	['Default', { dnsPolicy: 'Default' }, MACHINE],
	[
		'None with dnsConfig, exactly that',
		{ dnsPolicy: 'None', dnsConfig: { nameservers: ['1.1.1.1'], searches: ['resolv.conf.local'] } },
		'search resolv.conf.local\nnameserver 1.1.1.1\n',
	],
	[
		"dnsConfig's ndots in place of the policy's",
		{ dnsConfig: { options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }] } },
		CLUSTER.replace('ndots:5', 'ndots:2 edns0'),
	],
	[
		'dnsConfig behind the policy, without doubles',
		{ dnsConfig: { nameservers: ['10.96.0.10', '1.1.1.1'], searches: ['cluster.local', 'my.lan'] } },
		'search shop.svc.cluster.local svc.cluster.local cluster.local my.lan\nnameserver 10.96.0.10\nnameserver 1.1.1.1\noptions ndots:5\n',
	],
])('resolvConf() of %s (A-116, A-117)', (_what, spec, text) => {
	expect(conf(spec)).toBe(text);
});

const IPS = ['10.244.1.2', 'fd00:244:1::2'];

test('hostsFile() has the addresses with the name, and with the full one in a subdomain (A-111)', () => {
	const hosts = (spec: Spec) => hostsFile(pod(spec), IPS, 'cluster.local', '127.0.0.1 machine\n');
	expect(hosts({})).toMatch(/\n10\.244\.1\.2\tweb-1\nfd00:244:1::2\tweb-1\n$/);
	expect(hosts({ hostname: 'h', subdomain: 's' })).toContain(
		'\n10.244.1.2\th.s.shop.svc.cluster.local\th\nfd00:244:1::2\th.s.shop.svc.cluster.local\th\n',
	);
	expect(hosts({ hostAliases: [{ ip: '1.2.3.4', hostnames: ['foo', 'bar'] }] })).toMatch(
		/\n\n# Entries added by HostAliases\.\n1\.2\.3\.4\tfoo\tbar\n$/,
	);
	expect(hosts({ hostNetwork: true })).toBe(
		'# Kubernetes-managed hosts file (host network).\n127.0.0.1 machine\n',
	);
});

test('kernelHostname() is the pod, its hostname, its full name or its node', () => {
	const name = (spec: Spec) => kernelHostname(pod(spec), 'cluster.local');
	expect(name({})).toBe('web-1');
	expect(name({ hostname: 'h', subdomain: 's' })).toBe('h');
	expect(name({ hostname: 'h', subdomain: 's', setHostnameAsFQDN: true })).toBe('h.s.shop.svc.cluster.local');
	expect(name({ hostNetwork: true, nodeName: 'node1' })).toBe('node1');
	expect(() => name({ hostname: 'h'.repeat(50), subdomain: 's', setHostnameAsFQDN: true })).toThrow(
		/is too long/,
	);
});
