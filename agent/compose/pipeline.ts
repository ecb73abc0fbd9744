/**
 * Path of an object from the API's watches to the reconciler. Each stage passes its objects on:
 *
 *   watch         stages, in this order                                      end
 *   services      names (DNS) -> host ports wait for pods -> counted      -> reconciler
 *   endpoints                                                counted      -> reconciler
 *   node          addresses (dataplane, DNS, host ports)                  -> reconciler
 *   pods          host ports -> as Services, counted                      -> reconciler
 *                 socket labels                                           -> dataplane
 *   namespaces    names (DNS)                                             -> zone
 *                 socket labels                                           -> dataplane
 */
import { type Sink, sinkOfAll } from '../base/sink.ts';
import type { HostPorts } from '../features/host-ports.ts';
import type { SocketLabels } from '../features/socket-labels.ts';
import type { ApiSinks } from '../kube/source.ts';
import type { RawSinks } from '../loop/reconcile-types.ts';
import { parseNode } from '../model/node.ts';
import type { AgentDns } from './dns.ts';

export interface Stages {
	/** Sinks of the reconciler, with counters. */
	readonly counted: RawSinks;
	/** Optional: a feature that is off has no stage. */
	readonly dns: AgentDns | undefined;
	readonly hostPorts: HostPorts | undefined;
	readonly labels: SocketLabels | undefined;
	readonly nodeName: string;
	/** Called at each change of the Node, with its addresses in the order of the Node object. */
	readonly addresses: (addresses: readonly string[]) => void;
}

/** Sinks for the watches. */
export function pipeline({ counted, dns, hostPorts, labels, nodeName, addresses }: Stages): ApiSinks {
	const services = hostPorts?.services ?? counted.services;
	const pods = sinkOfAll([hostPorts?.pods, labels?.pods]);
	const namespaces = sinkOfAll([dns?.namespaces, labels?.namespaces]);
	return {
		services: dns ? dns.services(services) : services,
		endpoints: counted.endpoints,
		node: addressesOf(nodeName, counted.node, (found) => {
			addresses(found);
			dns?.setNodeAddresses(found);
			hostPorts?.setNodeAddresses(found);
		}),
		...(pods && { pods }),
		...(namespaces && { namespaces }),
		allServices: dns !== undefined,
	};
}

/** The node's addresses determine its uplinks, and the addresses of DNS and of host ports. */
function addressesOf(nodeName: string, sink: Sink, found: (addresses: readonly string[]) => void): Sink {
	return {
		...sink,
		upsert(key, object) {
			found(parseNode(object, nodeName).value.addresses.map(({ text }) => text));
			sink.upsert(key, object);
		},
	};
}
