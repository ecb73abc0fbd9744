import type { Section } from './section.ts';

export const ALLOCATION: Section = {
	letter: 'C',
	title: 'Allocation and defaults of the standalone API',
	entries: {
		'C R-1': 'ipFamilyPolicy, ipFamilies and clusterIPs on create',
		'C R-2': 'ipFamilyPolicy, ipFamilies and clusterIPs on update',
		'C R-3': 'Usable addresses, the static band, and what is refused',
		'C R-4': 'nodePorts: the band, sharing by number, kept on update',
		'C R-5': 'healthCheckNodePort and externalTrafficPolicy: where they may be, and their life',
		'C R-6': 'A change of type wipes the fields that it leaves behind',
		'C-01': 'The whole table of dual-stack creation',
		'C-02': 'Headless without selector on a single-stack cluster',
		'C-04': 'The three examples of the Kubernetes website',
		'C-06': 'SingleStack to PreferDualStack and back',
		'C-09': 'ExternalName to ClusterIP and back; the address is free at once',
		'C-10': 'A deleted Service’s address and ports can be claimed again',
		'C-11': 'nodePorts on create: automatic, explicit, refused',
		'C-14': 'healthCheckNodePort: automatic, explicit, refused, cleared',
		'C-16': 'The port allocator of 10000-10200',
		'C-17': 'The address allocator of a /24 and of a /30',
		'C-19': 'A stored address out of range or twice is reported and given to nobody else',
		'C-20': 'Field selectors of Services',
		'C-22': 'sessionAffinityConfig and ports: defaults and refusals',
	},
};

export const NAMES: Section = {
	letter: 'D',
	title: 'Names',
	entries: {
		'D R-0': 'Names in any case, SERVFAIL until synced, answers as fresh as the API',
		'D R-1': 'Names of a clusterIP Service: A, AAAA, SRV, PTR; dns-version',
		'D R-2': 'Names of a headless Service and of its endpoints',
		'D R-3': 'NODATA for a name with other records, NXDOMAIN for none, both with SOA',
		'D R-4': 'ExternalName is a CNAME, with nothing below',
		'D R-5': 'No pod records; names of other zones are forwarded or refused',
		'D-01': 'The queries of dns.json over the manifest of CoreDNS’ own tests',
		'D-03': 'TXT of dns-version is 1.1.0',
		'D-04': 'SRV of a bare Service name gives all ports',
		'D-06': 'A headless Service without ports: addresses, and no failure for SRV',
		'D-09': 'A deleted Service’s names go, a new one’s come',
		'D-10': 'Pods of a StatefulSet have names that follow their addresses',
		'D-11': 'UDP and TCP; truncation; EDNS sizes',
	},
};

export const ENVIRONMENT: Section = {
	letter: 'E',
	title: 'Environment variables',
	entries: {
		'E R-1': 'The variables of a Service, their names, values and order',
		'E R-2': 'Whose Services a pod sees, and when',
		'E-01': 'The variables of envvars.json, in order',
		'E-03': 'A pod sees its namespace’s Services and kubernetes, not others’',
		'E-04': 'A Service made after the pod is absent, and there for a new pod',
		'E-06': 'The seven variables of fooservice',
		'E-07': 'The container’s own variables win',
	},
};

export const MANIFESTS: Section = {
	letter: 'H',
	title: 'Manifests that people use',
	entries: {
		'H-01': 'The 21 manifests load, and give the Services that they describe',
	},
};
