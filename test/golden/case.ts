import { parseAllDocuments } from 'yaml';
import type { Sink } from '../../agent/base/sink.ts';
import type { ServiceMaps } from '../../agent/bpf/port.ts';
import { type RawSinks, Reconciler, type ReconcilerOptions } from '../../agent/loop/reconcile.ts';
import { parseCidr } from '../../agent/model/cidr.ts';
import { parseIp } from '../../agent/model/ip.ts';
import { dumpKernel } from '../../agent/plan/dump.ts';
import { readKernel } from '../../agent/plan/kernel.ts';

/** A Kubernetes object of a case. */
export interface Manifest {
	readonly kind: string;
	readonly metadata: {
		readonly name: string;
		readonly namespace?: string;
		readonly [field: string]: unknown;
	};
	readonly [field: string]: unknown;
}

const NODE: Manifest = {
	kind: 'Node',
	metadata: { name: 'node1', labels: { 'topology.kubernetes.io/zone': 'zone-a' } },
	status: {
		addresses: [
			{ type: 'InternalIP', address: '192.168.10.11' },
			{ type: 'InternalIP', address: 'fd00:10::11' },
		],
	},
};

const RESOURCES = {
	Service: 'services',
	EndpointSlice: 'endpoints',
	Endpoints: 'endpoints',
	Node: 'node',
} as const;

export function readManifests(text: string): Manifest[] {
	return parseAllDocuments(text).flatMap((document) => {
		const value = document.toJS() as Manifest | null;
		return value?.kind ? [value] : [];
	});
}

/**
 * An agent of node1 that receives manifests, and the resulting map contents. A manifest of kind
 * Agent contains its configuration and the addresses of the node's devices.
 */
export class Golden {
	readonly #maps: ServiceMaps;
	readonly #reconciler: Reconciler;
	readonly #sinks: RawSinks;
	readonly #manifests: readonly Manifest[];

	constructor(maps: ServiceMaps, manifests: readonly Manifest[]) {
		const silent = () => {};
		const agent = manifests.find((m) => m.kind === 'Agent');
		this.#maps = maps;
		this.#manifests = manifests;
		this.#reconciler = new Reconciler({
			maps,
			nodeName: 'node1',
			log: { debug: silent, info: silent, warn: silent, error: silent },
			clock: { now: () => performance.now(), after: () => silent },
			random: () => 0.5,
			...(agent && configured(agent)),
		});
		if (agent) this.#reconciler.setLocalAddresses(strings(agent, 'localAddresses'));
		this.#sinks = this.#reconciler.sinks(
			manifests.some((m) => m.kind === 'Endpoints') ? 'endpoints' : 'endpointslices',
		);
	}

	/** Applies the manifests. @returns map entries and problems, one a line */
	apply(): string {
		for (const manifest of [NODE, ...this.#manifests]) {
			this.#sink(manifest)?.upsert(keyOf(manifest), manifest);
		}
		this.#sinks.services.listed();
		this.#sinks.endpoints.listed();
		return this.#sync();
	}

	/** Removes everything except the Node, then returns the same dump as apply(). */
	removeAll(): string {
		for (const manifest of this.#manifests) {
			if (manifest.kind !== 'Node') this.#sink(manifest)?.remove(keyOf(manifest));
		}
		return this.#sync();
	}

	#sink(manifest: Manifest): Sink | undefined {
		const resource = new Map<string, keyof RawSinks>(Object.entries(RESOURCES)).get(manifest.kind);
		return resource && this.#sinks[resource];
	}

	#sync(): string {
		if (!this.#reconciler.sync()) throw new Error(`Sync failed: ${this.#reconciler.snapshot().lastError}`);
		const problems = this.#reconciler
			.snapshot()
			.problems.map((p) => `problem ${p.object} ${p.field}: ${p.message}\n`);
		return (
			dumpKernel(readKernel(this.#maps), (id) => this.#reconciler.serviceName(id)) + problems.sort().join('')
		);
	}
}

function configured(agent: Manifest): Partial<ReconcilerOptions> {
	const cidrs = (field: string) => strings(agent, field).flatMap((cidr) => parseCidr(cidr) ?? []);
	return {
		...(agent['nodeportAddresses'] !== undefined && { nodePortCidrs: cidrs('nodeportAddresses') }),
		...(agent['externalIps'] !== undefined && { externalCidrs: cidrs('externalIps') }),
		serviceCidrs: cidrs('serviceCidrs'),
		apiServers: strings(agent, 'apiServers').flatMap((ip) => parseIp(ip) ?? []),
	};
}

const strings = (manifest: Manifest, field: string): string[] => (manifest[field] ?? []) as string[];

function keyOf(manifest: Manifest): string {
	if (manifest.kind === 'Node') return manifest.metadata.name;
	return `${manifest.metadata.namespace ?? 'default'}/${manifest.metadata.name}`;
}
