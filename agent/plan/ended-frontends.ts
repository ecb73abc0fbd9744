/**
 * Frontends that no Service has any more, but that TCP connections still use. The map keeps them,
 * marked as ended. So the packet programs find those connections, but begin no new ones. kube-proxy
 * leaves such connections to conntrack.
 */
import {
	ConnFlag,
	connCodec,
	type Frontend,
	FrontendFlag,
	type FrontendKey,
	FrontendScope,
	frontendCodec,
	frontendKeyCodec,
	tupleCodec,
} from '../abi/layout.ts';
import { PROTOCOLS } from '../abi/protocol.ts';
import type { BpfMap, ServiceMaps } from '../bpf/port.ts';
import { frontendName, type KernelState } from './kernel.ts';
import type { Plan } from './plan.ts';

/**
 * The programs forget a connection after so long without a packet, ms (timeout_tcp, bpf/config.h).
 */
const IDLE_MS = 7_200_000;

/** Offset of dport in struct tuple; an assertion in bpf/abi.h checks it. */
const DPORT = 34;

const ENDED: Frontend = {
	serviceId: 0,
	flags: FrontendFlag.ENDED,
	table: 0,
	tableSize: 0,
	backends: 0,
	affinitySeconds: 0,
};

/**
 * Selects the gone frontends of a plan that become ended. UDP ones have no connections to keep, and
 * no packets reach loopback ones.
 */
export function endedOf(plan: Plan, kernel: KernelState): FrontendKey[] {
	return plan.goneFrontends.filter((key) => {
		const flags = kernel.frontends.get(frontendName(key))?.value.flags ?? 0;
		return key.proto === PROTOCOLS.tcp && (flags & FrontendFlag.LOOPBACK) === 0;
	});
}

/** Marks frontends as ended in the map. */
export function writeEnded(maps: ServiceMaps, keys: readonly FrontendKey[]): void {
	if (keys.length === 0) return;
	const values = keys.map(() => ENDED);
	maps.frontends.updateBatch(frontendKeyCodec.encodeAll(keys), frontendCodec.encodeAll(values));
}

/** Finds ended frontends without connections by scans of the connection map. */
export class EndedFrontends {
	readonly #connections: BpfMap;
	/** By name: the sum of lastSeen over its connections, and the time at which it last changed. */
	readonly #seen = new Map<string, { readonly sum: number; readonly since: number }>();

	constructor(connections: BpfMap) {
		this.#connections = connections;
	}

	/**
	 * @param now ms
	 * @returns frontends without a connection that had a packet in the last two hours
	 */
	unused(ended: ReadonlyMap<string, FrontendKey>, now: number): FrontendKey[] {
		const sums = this.#sums(ended);
		for (const name of this.#seen.keys()) if (!sums.has(name)) this.#seen.delete(name);
		for (const [name, sum] of sums) {
			if (this.#seen.get(name)?.sum !== sum) this.#seen.set(name, { sum, since: now });
		}
		return [...ended].flatMap(([name, key]) => {
			const seen = this.#seen.get(name);
			return seen && now - seen.since < IDLE_MS ? [] : key;
		});
	}

	/**
	 * Sum of lastSeen over the open connections of each ended frontend. An entry with another port is
	 * skipped before decoding.
	 */
	#sums(ended: ReadonlyMap<string, FrontendKey>): Map<string, number> {
		const sums = new Map<string, number>();
		const ports = new Set([...ended.values()].map(({ port }) => port));
		for (const [rawKey, rawValue] of this.#connections.entries()) {
			if (!ports.has(new DataView(rawKey.buffer, rawKey.byteOffset).getUint16(DPORT, true))) continue;
			const { daddr, dport, proto } = tupleCodec.decode(rawKey);
			const { flags, own, peer, lastSeen } = connCodec.decode(rawValue);
			const closed = own.rst + peer.rst > 0 || (own.fin > 0 && peer.fin > 0);
			if (proto !== PROTOCOLS.tcp || (flags & ConnFlag.FORWARD) === 0 || closed) continue;
			for (const scope of Object.values(FrontendScope)) {
				const name = frontendName({ addr: daddr, port: dport, proto, scope });
				if (ended.has(name)) sums.set(name, (sums.get(name) ?? 0) + lastSeen);
			}
		}
		return sums;
	}
}
