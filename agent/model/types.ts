import type { Cidr } from './cidr.ts';
import type { Ip } from './ip.ts';

/** API resource from which endpoints are read. */
export type EndpointsKind = 'endpointslices' | 'endpoints';

/** A part of an object that cannot be used; the rest of the object is used. */
export interface Problem {
	/** Kind, namespace and name: `Service default/web`. */
	readonly object: string;
	/** Path of the field: `spec.ports[1].port`; empty for the object as a whole. */
	readonly field: string;
	/** The fault and the remedy. */
	readonly message: string;
}

/** The usable part of an object, and its problems. */
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
	/** Milliseconds since 1970; Infinity when unknown, so that the Service never precedes others. */
	readonly created: number;
	/** False: headless, ExternalName, or left to another proxy. */
	readonly served: boolean;
	readonly ports: readonly ServicePort[];
	readonly clusterIps: readonly Ip[];
	readonly externalIps: readonly Ip[];
	/**
	 * Addresses for host ports of a pod (host-ports.ts), with loopback; none for Services of the API.
	 */
	readonly hostIps: readonly Ip[];
	/** IPs of status.loadBalancer, without those of ipMode Proxy. */
	readonly ingressIps: readonly Ip[];
	/** Sources that may use the ingressIps. */
	readonly sourceRanges: SourceRanges;
	/** internalTrafficPolicy and externalTrafficPolicy are Local. */
	readonly internalLocal: boolean;
	readonly externalLocal: boolean;
	/** Seconds of session affinity by client address; 0: none. */
	readonly affinitySeconds: number;
	/** 0: none; only load balancers have one. */
	readonly healthCheckNodePort: number;
}

/** loadBalancerSourceRanges. */
export interface SourceRanges {
	readonly allowed: readonly Cidr[];
	/** Families with a range. Other families allow every source, as with kube-proxy. */
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
	/** Name in DNS, below its Service; empty: derived from its address. */
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
	/** False: labelled for another proxy, or as headless. DNS serves its names all the same. */
	readonly served: boolean;
	readonly groups: readonly EndpointGroup[];
}

/** The node on which the agent runs. */
export interface Node {
	readonly name: string;
	/** topology.kubernetes.io/zone; empty: none. */
	readonly zone: string;
	/** InternalIPs, then ExternalIPs. */
	readonly addresses: readonly Ip[];
	/** Addresses of its devices, without the veths of pods; empty when unknown. */
	readonly localAddresses: readonly Ip[];
	/** Addresses at which NodePorts are served, besides loopback. */
	readonly nodePortAddresses: readonly Ip[];
	/** Deleted, or tainted by the cluster autoscaler: load balancers should use other nodes. */
	readonly leaving: boolean;
}
