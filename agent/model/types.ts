import type { Cidr } from './cidr.ts';
import type { Ip } from './ip.ts';

/** Something that an object says and that cannot be used; the rest of the object is used. */
export interface Problem {
	/** Kind, namespace and name: `Service default/web`. */
	readonly object: string;
	/** Path of the field: `spec.ports[1].port`; empty for the object as a whole. */
	readonly field: string;
	/** What is wrong and what would be right. */
	readonly message: string;
}

/** What could be read of an object, and what could not. */
export interface Parsed<T> {
	readonly value: T;
	readonly problems: readonly Problem[];
}

export type Protocol = 'tcp' | 'udp';

export interface ServicePort {
	/** Path in the object: `spec.ports[0]`. */
	readonly path: string;
	/** Empty for a Service's only port. */
	readonly name: string;
	readonly port: number;
	readonly protocol: Protocol;
	/** 0: none. */
	readonly nodePort: number;
}

export interface Service {
	/** namespace/name */
	readonly key: string;
	readonly namespace: string;
	readonly name: string;
	/** Milliseconds since 1970; Infinity when unknown, so that it never comes before others. */
	readonly created: number;
	/** False: headless, ExternalName, or another proxy's: nothing is served. */
	readonly served: boolean;
	readonly ports: readonly ServicePort[];
	readonly clusterIps: readonly Ip[];
	readonly externalIps: readonly Ip[];
	/** Where this node serves host ports of a pod (host-ports.ts); Services of the API have none. */
	readonly hostIps: readonly Ip[];
	/** Those of status.loadBalancer that are served here: not hostnames, not ipMode Proxy. */
	readonly ingressIps: readonly Ip[];
	/** Who may use the ingressIps. */
	readonly sourceRanges: SourceRanges;
	/** internalTrafficPolicy and externalTrafficPolicy are Local. */
	readonly internalLocal: boolean;
	readonly externalLocal: boolean;
	/** Session affinity by client address; 0: none. */
	readonly affinitySeconds: number;
	/** 0: none; only load balancers ask. */
	readonly healthCheckNodePort: number;
}

/** loadBalancerSourceRanges. */
export interface SourceRanges {
	readonly allowed: readonly Cidr[];
	/** Families of which there is a range. Of the others every source is allowed, as with kube-proxy. */
	readonly families: readonly (4 | 6)[];
}

export interface SlicePort {
	readonly name: string;
	readonly port: number;
	readonly protocol: Protocol;
}

export interface Endpoint {
	readonly ip: Ip;
	readonly ready: boolean;
	readonly serving: boolean;
	readonly terminating: boolean;
	/** Empty when unknown. */
	readonly node: string;
	/** What it is called in DNS, below its Service; empty: by its address. */
	readonly hostname: string;
	/** Hints: zones and nodes whose clients should use it. */
	readonly forZones: readonly string[];
	readonly forNodes: readonly string[];
}

/** Endpoints that share their ports: an EndpointSlice, or one subset of Endpoints. */
export interface EndpointGroup {
	readonly ports: readonly SlicePort[];
	readonly endpoints: readonly Endpoint[];
}

/** An EndpointSlice or an Endpoints object. */
export interface EndpointSource {
	/** namespace/name of the object. */
	readonly key: string;
	/** namespace/name of its Service; undefined when it has none. */
	readonly service: string | undefined;
	readonly groups: readonly EndpointGroup[];
}

/** The node that the agent runs on. */
export interface Node {
	readonly name: string;
	/** topology.kubernetes.io/zone; empty: none. */
	readonly zone: string;
	/** InternalIPs, then ExternalIPs. */
	readonly addresses: readonly Ip[];
	/** Those of its devices, pods' veths left out; empty when unknown. */
	readonly localAddresses: readonly Ip[];
	/** Where NodePorts are served, beside loopback. */
	readonly nodePortAddresses: readonly Ip[];
	/** Deleted, or about to be by the cluster autoscaler: load balancers should look elsewhere. */
	readonly leaving: boolean;
}
