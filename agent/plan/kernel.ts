import {
	ADDRESS_WORDS,
	type Backend,
	BackendFlag,
	backendCodec,
	FRONTEND_WORDS,
	type Frontend,
	FrontendFlag,
	type FrontendKey,
	FrontendScope,
	frontendCodec,
	frontendKeyCodec,
	SERVICE_CIDRS_MAX,
	type ServiceCidrs,
	type Settings,
	type SourceRangeKey,
	serviceAddressCodec,
	serviceCidrsCodec,
	settingsCodec,
	sourceRangeKeyCodec,
	TABLE_CHUNK_SLOTS,
} from '../abi/layout.ts';
import { protocolName } from '../abi/protocol.ts';
import { u32Bytes, u32Of } from '../abi/u32.ts';
import type { BpfMap, ServiceMaps } from '../bpf/port.ts';
import { type Cidr, cidrBytes } from '../model/cidr.ts';
import { endpointText, ipOfBytes } from '../model/ip.ts';
import { Bits, frontendBit } from './bits.ts';

/** State that the kernel has acknowledged, with the names of the image. */
export interface KernelState {
	/** By {@link frontendName}. */
	readonly frontends: Map<string, { readonly key: FrontendKey; readonly value: Frontend }>;
	/** In the same map: frontends without a Service, kept for their TCP connections. */
	readonly ended: Map<string, FrontendKey>;
	/** By id: every entry that is not all zeros. */
	readonly backends: Map<number, Backend>;
	/** By reference: tables that frontends refer to, or that the image has. */
	readonly tables: Map<number, KernelTable>;
	/** By {@link sourceRangeName}. */
	readonly sourceRanges: Map<string, SourceRangeKey>;
	/** By address; the value is enum service_address_flag. */
	readonly addresses: Map<string, { readonly addr: Uint8Array; readonly flags: number }>;
	readonly addressBits: BigUint64Array;
	/** Bits of `frontends` and `ended`. */
	readonly frontendBits: BigUint64Array;
	/** Those of `ended` alone. */
	readonly endedBits: Bits;
	/** Odd: a write of UDP frontends did not end. */
	frontendEpoch: number;
	settings: Settings;
	serviceCidrs: ServiceCidrs;
}

/** Values of the node itself, without a Service. */
export type NodeValues = Pick<KernelState, 'settings' | 'serviceCidrs'>;

/** Location of a table. */
export interface TablePlace {
	/** segment << 16 | first chunk */
	readonly ref: number;
	/** Slots. */
	readonly size: number;
	readonly backends: number;
}

export interface KernelTable {
	readonly size: number;
	/** Whole chunks, as read. */
	readonly content?: Uint8Array;
	/** Instead of content: the table of the image that was written here and acknowledged. */
	readonly written?: object;
}

/** `10.96.0.1:80/tcp internal` */
export function frontendName(key: FrontendKey): string {
	const scope = key.scope === FrontendScope.EXTERNAL ? 'external' : 'internal';
	return `${endpointText(ipOfBytes(key.addr), key.port)}/${protocolName(key.proto)} ${scope}`;
}

/** `10.0.0.0/8 of 3`: a range, and the id of its Service port. */
export function sourceRangeName({ prefixLen, serviceId, addr }: SourceRangeKey): string {
	const ip = ipOfBytes(addr);
	return `${ip.text}/${prefixLen - 32 - (ip.family === 4 ? 96 : 0)} of ${serviceId}`;
}

/** `10.244.1.2:8080/tcp` */
export function backendName(backend: Pick<Backend, 'addr' | 'port' | 'proto'>): string {
	return `${endpointText(ipOfBytes(backend.addr), backend.port)}/${protocolName(backend.proto)}`;
}

/** `10.244.1.2:8080/tcp of 3`: an endpoint, and the id of its Service port. */
export function backendKey(name: string, serviceId: number): string {
	return `${name} of ${serviceId}`;
}

export function isValid(backend: Backend | undefined): backend is Backend {
	return backend !== undefined && (backend.flags & BackendFlag.VALID) !== 0;
}

export function chunksOf(size: number): number {
	return Math.ceil(size / TABLE_CHUNK_SLOTS);
}

/** Chunks of a table: its slots, then the list of its backends, which begins with a new chunk. */
export function tableChunks(size: number, backends: number): number {
	return chunksOf(size) + chunksOf(backends);
}

export function emptyKernel(): KernelState {
	return {
		frontends: new Map(),
		ended: new Map(),
		backends: new Map(),
		tables: new Map(),
		sourceRanges: new Map(),
		addresses: new Map(),
		addressBits: new BigUint64Array(ADDRESS_WORDS),
		frontendBits: new BigUint64Array(FRONTEND_WORDS),
		endedBits: new Bits(FRONTEND_WORDS),
		frontendEpoch: 0,
		settings: { snatV4: none(), snatV6: none() },
		serviceCidrs: serviceCidrsOf([]),
	};
}

const none = (): Uint8Array => new Uint8Array(16);

/** @param cidrs at most SERVICE_CIDRS_MAX */
export function serviceCidrsOf(cidrs: readonly Cidr[]): ServiceCidrs {
	const cidr = Array.from({ length: SERVICE_CIDRS_MAX }, (_, i) => {
		return cidrs[i] ? cidrBytes(cidrs[i]) : { net: none(), mask: none() };
	});
	return { count: cidrs.length, cidr };
}

/**
 * Reads everything that this agent, or an earlier one, has written.
 * @param known tables to read even if no frontend refers to them
 */
export function readKernel(maps: ServiceMaps, known: Iterable<TablePlace> = []): KernelState {
	const state = emptyKernel();
	for (const [rawKey, rawValue] of maps.frontends.entries()) {
		const key = frontendKeyCodec.decode(rawKey);
		const value = frontendCodec.decode(rawValue);
		if ((value.flags & FrontendFlag.ENDED) !== 0) addEnded(state, key);
		else state.frontends.set(frontendName(key), { key, value });
	}
	for (const [rawKey, rawValue] of maps.backends.entries()) {
		if (rawValue.every((byte) => byte === 0)) continue;
		state.backends.set(u32Of(rawKey), backendCodec.decode(rawValue));
	}
	readTables(maps, state, known);
	readAddresses(maps, state);
	const settings = maps.settings.lookup(u32Bytes(0));
	if (settings) state.settings = settingsCodec.decode(settings);
	const serviceCidrs = maps.serviceCidrs.lookup(u32Bytes(0));
	if (serviceCidrs) state.serviceCidrs = serviceCidrsCodec.decode(serviceCidrs);
	return state;
}

function readAddresses(maps: ServiceMaps, state: KernelState): void {
	for (const [rawKey] of maps.sourceRanges.entries()) {
		const key = sourceRangeKeyCodec.decode(rawKey);
		state.sourceRanges.set(sourceRangeName(key), key);
	}
	for (const [addr, value] of maps.addresses.entries()) {
		state.addresses.set(ipOfBytes(addr).text, { addr, flags: serviceAddressCodec.decode(value).flags });
	}
	readWords(maps.addressBits, state.addressBits);
	readWords(maps.frontendBits, state.frontendBits);
	const epoch = maps.frontendEpoch.lookup(u32Bytes(0));
	if (epoch) state.frontendEpoch = u32Of(epoch);
}

function readWords(map: BpfMap, words: BigUint64Array): void {
	const halves = new Uint32Array(words.buffer);
	for (const [key, value] of map.entries()) {
		const index = 2 * u32Of(key);
		halves[index] = u32Of(value);
		halves[index + 1] = u32Of(value, 4);
	}
}

/** Records that a frontend has ended. */
export function addEnded(kernel: KernelState, key: FrontendKey): void {
	const name = frontendName(key);
	if (!kernel.ended.has(name)) kernel.endedBits.add(frontendBit(key));
	kernel.ended.set(name, key);
}

/** Records that an ended frontend is gone, or is served again. */
export function removeEnded(kernel: KernelState, key: FrontendKey): void {
	if (kernel.ended.delete(frontendName(key))) kernel.endedBits.remove(frontendBit(key));
}

/** Reads each segment in one dump up to its last used chunk: far cheaper than chunk by chunk. */
function readTables(maps: ServiceMaps, state: KernelState, known: Iterable<TablePlace>): void {
	const { count, chunks } = maps.tables;
	const end = new Array<number>(count).fill(0);
	const wanted: TablePlace[] = [];
	const referred = [...state.frontends.values()].map(({ value }): TablePlace => {
		return { ref: value.table, size: value.tableSize, backends: value.backends };
	});
	for (const place of [...known, ...referred]) {
		const { ref, size, backends } = place;
		const segment = ref >>> 16;
		const last = (ref & 0xffff) + tableChunks(size, backends);
		if (size === 0 || segment >= count || last > chunks) continue;
		end[segment] = Math.max(end[segment]!, last);
		wanted.push(place);
	}
	const contents = end.map((length, i) => readChunks(maps, i, length));
	for (const { ref, size, backends } of wanted) {
		if (state.tables.has(ref)) continue;
		const first = (ref & 0xffff) * 64;
		const content = contents[ref >>> 16]!.slice(first, first + tableChunks(size, backends) * 64);
		state.tables.set(ref, { size, content });
	}
}

function readChunks(maps: ServiceMaps, segment: number, length: number): Uint8Array {
	const content = new Uint8Array(length * 64);
	if (length === 0) return content;
	for (const [key, value] of maps.tables.segment(segment).entries()) {
		const index = u32Of(key);
		if (index >= length) break;
		content.set(value, index * 64);
	}
	return content;
}
