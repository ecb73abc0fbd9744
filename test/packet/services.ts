/** Fills the Service maps as the control loop would, without the control loop. */
import {
	BackendFlag,
	backendCodec,
	type Frontend,
	FrontendFlag,
	FrontendScope,
	frontendCodec,
	frontendKeyCodec,
	serviceAddressCodec,
	serviceCidrsCodec,
	settingsCodec,
	sourceRangeKeyCodec,
	TABLE_CHUNK_SLOTS,
	tableChunkCodec,
} from '../../agent/abi/layout.ts';
import { u32Of } from '../../agent/abi/u32.ts';
import type { BpfMap, ServiceMaps } from '../../agent/bpf/port.ts';
import { parseCidr } from '../../agent/model/cidr.ts';
import { addressBit, frontendBit, wordOf } from '../../agent/plan/bits.ts';
import { sourceRangeKey } from '../../agent/plan/entries.ts';
import { serviceCidrsOf } from '../../agent/plan/kernel.ts';
import { PROTO_TCP, PROTO_UDP } from './builder.ts';
import { concat, ipBytes, ipText } from './bytes.ts';

export type Proto = 'tcp' | 'udp';
export const protoNumber = (proto: Proto): number => (proto === 'tcp' ? PROTO_TCP : PROTO_UDP);

const V4_PREFIX = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);

/** The 16 bytes of an address in the maps, IPv4 as ::ffff:a.b.c.d. */
export function mapAddress(text: string): Uint8Array {
	const bytes = ipBytes(text);
	return bytes.length === 4 ? concat(V4_PREFIX, bytes) : bytes;
}

export function mapAddressText(bytes: Uint8Array): string {
	const mapped = V4_PREFIX.every((byte, i) => bytes[i] === byte);
	return ipText(mapped ? bytes.subarray(12) : bytes);
}

export interface BackendSpec {
	address: string;
	port: number;
	local?: boolean;
}
export interface FrontendSpec {
	address: string;
	port: number;
	scope?: FrontendScope;
	/**
	 * FrontendFlag bits. The default is ClusterIP for INTERNAL scope and NodePort for EXTERNAL scope.
	 */
	flags?: number;
}
export interface ServiceSpec {
	proto: Proto;
	frontends: readonly FrontendSpec[];
	backends: readonly BackendSpec[];
	/** Number of slots. The backends repeat in order. */
	tableSize?: number;
	/** Timeout of sessionAffinity ClientIP. */
	affinitySeconds?: number;
}
export interface Written {
	serviceId: number;
	backendIds: number[];
}

const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);

export class Services {
	readonly #maps: ServiceMaps;
	#nextService = 1;
	#nextBackend = 1;
	#nextChunk = 0;

	constructor(maps: ServiceMaps) {
		this.#maps = maps;
		if (maps.tables.count === 0) maps.tables.grow();
	}

	/** Restarts the ids and table positions. No entry may still use the old ones. */
	reuse(): void {
		this.#nextService = 1;
		this.#nextBackend = 1;
		this.#nextChunk = 0;
	}

	settings(snatV4: string, snatV6: string): void {
		const value = { snatV4: mapAddress(snatV4), snatV6: mapAddress(snatV6) };
		this.#maps.settings.update(u32(0), settingsCodec.encode(value));
	}

	/**
	 * Writes backends, then the table, then frontends, so that no packet sees an incomplete Service.
	 */
	add(spec: ServiceSpec): Written {
		const backendIds = spec.backends.map((backend) => this.#backend(backend, spec.proto));
		const serviceId = this.#nextService++;
		this.retarget(spec, serviceId, backendIds);
		return { serviceId, backendIds };
	}

	frontend(spec: FrontendSpec, proto: Proto, rest: Omit<Frontend, 'flags'>): void {
		const scope = spec.scope ?? FrontendScope.EXTERNAL;
		const usual = scope === FrontendScope.INTERNAL ? FrontendFlag.CLUSTERIP : FrontendFlag.NODEPORT;
		const key = { addr: mapAddress(spec.address), port: spec.port, proto: protoNumber(proto), scope };
		this.#setBit(this.#maps.frontendBits, frontendBit(key));
		this.#inEpoch(() =>
			this.#maps.frontends.update(
				frontendKeyCodec.encode(key),
				frontendCodec.encode({ ...rest, flags: spec.flags ?? usual }),
			),
		);
	}

	withoutFrontend({ address, port, scope = FrontendScope.EXTERNAL }: FrontendSpec, proto: Proto): void {
		const key = { addr: mapAddress(address), port, proto: protoNumber(proto), scope };
		this.#inEpoch(() => this.#maps.frontends.delete(frontendKeyCodec.encode(key)));
	}

	/** Writes frontends as the agent does: the epoch is odd meanwhile. */
	#inEpoch(write: () => void): void {
		const epoch = u32Of(this.#maps.frontendEpoch.lookup(u32(0))!);
		this.#maps.frontendEpoch.update(u32(0), u32(epoch + 1));
		write();
		this.#maps.frontendEpoch.update(u32(0), u32(epoch + 2));
	}

	/**
	 * Replaces the backends of a Service: writes a new table, then the frontends that reference it.
	 * `members` may exceed the slots of the table, as after a change of its size.
	 */
	retarget(
		spec: ServiceSpec,
		serviceId: number,
		backendIds: readonly number[],
		members: readonly number[] = backendIds,
	): void {
		const tableSize = backendIds.length === 0 ? 0 : (spec.tableSize ?? 251);
		const table = this.#table(backendIds, tableSize, members);
		const { affinitySeconds = 0 } = spec;
		const rest = { serviceId, table, tableSize, backends: members.length, affinitySeconds };
		for (const frontend of spec.frontends) this.frontend(frontend, spec.proto, rest);
	}

	/** Sets the clients that may use frontends of the Service with FrontendFlag.RANGES. */
	sourceRanges(serviceId: number, ...ranges: readonly string[]): void {
		for (const range of ranges) {
			const key = sourceRangeKey(serviceId, parseCidr(range)!);
			this.#maps.sourceRanges.update(sourceRangeKeyCodec.encode(key), u32(1));
		}
	}

	withoutSourceRange(serviceId: number, range: string): void {
		this.#maps.sourceRanges.delete(sourceRangeKeyCodec.encode(sourceRangeKey(serviceId, parseCidr(range)!)));
	}

	/**
	 * Adds a Service address, whose other ports have no Service.
	 * @param flags ServiceAddressFlag bits
	 */
	address(text: string, flags: number): void {
		const addr = mapAddress(text);
		this.#setBit(this.#maps.addressBits, addressBit(addr));
		this.#maps.addresses.update(addr, serviceAddressCodec.encode({ flags }));
	}

	#setBit(map: BpfMap, bit: number): void {
		const word = map.lookup(u32(wordOf(bit)))!;
		word[(bit & 63) >> 3]! |= 1 << (bit & 7);
		map.update(u32(wordOf(bit)), word);
	}

	/** Sets the ClusterIP ranges. */
	serviceCidrs(...ranges: readonly string[]): void {
		const cidrs = serviceCidrsOf(ranges.map((range) => parseCidr(range)!));
		this.#maps.serviceCidrs.update(u32(0), serviceCidrsCodec.encode(cidrs));
	}

	/** Removes a backend: clears its flags and increments its generation. */
	removeBackend(id: number): void {
		const value = backendCodec.decode(this.#maps.backends.lookup(u32(id))!);
		const generation = value.generation + 1;
		this.#maps.backends.update(u32(id), backendCodec.encode({ ...value, flags: 0, generation }));
	}

	/** Adds a backend that no table references yet. */
	backend(spec: BackendSpec, proto: Proto): number {
		return this.#backend(spec, proto);
	}

	#backend(spec: BackendSpec, proto: Proto): number {
		const id = this.#nextBackend++;
		const value = {
			addr: mapAddress(spec.address),
			port: spec.port,
			proto: protoNumber(proto),
			flags: BackendFlag.VALID | (spec.local ? BackendFlag.LOCAL : 0),
			generation: 1,
			serviceId: 0,
		};
		this.#maps.backends.update(u32(id), backendCodec.encode(value));
		return id;
	}

	/** Writes the slots, then the distinct backends from the next whole chunk. */
	#table(ids: readonly number[], size: number, members: readonly number[]): number {
		const first = this.#nextChunk;
		const slots = Array.from({ length: size }, (_, slot) => ids[slot % ids.length]!);
		this.#chunks(slots);
		this.#chunks(members);
		return first;
	}

	#chunks(ids: readonly number[]): void {
		const segment = this.#maps.tables.segment(0);
		for (let from = 0; from < ids.length; from += TABLE_CHUNK_SLOTS) {
			const backend = Array.from({ length: TABLE_CHUNK_SLOTS }, (_, i) => ids[from + i] ?? 0);
			segment.update(u32(this.#nextChunk++), tableChunkCodec.encode({ backend }));
		}
	}
}
