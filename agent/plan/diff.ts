import {
	type Backend,
	BackendFlag,
	type Frontend,
	type FrontendKey,
	type ServiceCidrs,
	type Settings,
	serviceCidrCodec,
	serviceCidrsCodec,
} from '../abi/layout.ts';
import { PROTOCOLS } from '../abi/protocol.ts';
import { addressBit, frontendBit, type WordWrite, wordOf } from './bits.ts';
import type { BackendEntry, TableEntry, Touched } from './entries.ts';
import type { Image } from './image.ts';
import { backendName, frontendName, isValid, type KernelState, type NodeValues } from './kernel.ts';
import type { ChunkWrite, Plan, TableWrite } from './plan.ts';
import { tableContent } from './table-content.ts';

const CHUNK = 64;

/**
 * Plans the writes that make the kernel equal to the image; equal entries are omitted.
 * @param touched entries to compare: all others are known to be equal. undefined: all entries
 */
export function diff(image: Image, node: NodeValues, kernel: KernelState, touched?: Touched): Plan {
	const names = touched ?? everything(image, kernel);
	const backends: Plan['backends'][number][] = [];
	const goneBackends: Plan['goneBackends'][number][] = [];
	for (const id of [...names.backends].sort((a, b) => a - b)) {
		const now = kernel.backends.get(id);
		const entry = image.backendsById.get(id);
		if (entry) {
			const value = backendValue(entry, now);
			if (!now || !sameBackend(now, value)) backends.push({ id, value });
		} else if (isValid(now)) {
			goneBackends.push({ id, value: { ...now, flags: 0, generation: (now.generation + 1) >>> 0 } });
		}
	}
	const frontends: Plan['frontends'][number][] = [];
	const goneFrontends: FrontendKey[] = [];
	for (const name of [...names.frontends].sort()) {
		const now = kernel.frontends.get(name);
		const entry = image.frontends.get(name);
		if (entry && !(now && sameFrontend(now.value, entry.value))) frontends.push(entry);
		if (!entry && now) goneFrontends.push(now.key);
	}
	const entries = touched ? frontends : [...image.frontends.values()];
	return {
		known: {
			frontends: kernel.frontends.size,
			sourceRanges: kernel.sourceRanges.size,
			addresses: kernel.addresses.size,
		},
		...differentValues(node, kernel),
		segments: image.space.segments,
		backends,
		tables: tableWrites(image, kernel, names.tables),
		frontends,
		goneFrontends,
		frontendWords: frontendWords(image, kernel, entries),
		frontendEpoch: epochs(kernel, frontends, goneFrontends),
		goneBackends,
		...addressWrites(image, kernel, names.addresses, touched === undefined),
		...sourceRangeWrites(image, kernel, names.sourceRanges),
	};
}

function differentValues({ settings, serviceCidrs }: NodeValues, kernel: KernelState) {
	const same = sameBytes(encodeCidrs(serviceCidrs), encodeCidrs(kernel.serviceCidrs));
	return {
		settings: sameSettings(settings, kernel.settings) ? undefined : settings,
		serviceCidrs: same ? undefined : serviceCidrs,
		keptServiceCidrs: same ? undefined : keptServiceCidrs(kernel.serviceCidrs, serviceCidrs),
	};
}

const encodeCidrs = (cidrs: ServiceCidrs) => serviceCidrsCodec.encode(cidrs);

/** The ranges that are in both. @returns undefined when no range is removed */
function keptServiceCidrs(before: ServiceCidrs, after: ServiceCidrs): ServiceCidrs | undefined {
	const used = ({ count, cidr }: ServiceCidrs) => cidr.slice(0, count);
	const bytes = (cidr: ServiceCidrs['cidr'][number]) => serviceCidrCodec.encode(cidr);
	const wanted = used(after).map(bytes);
	const kept = used(before).filter((cidr) => wanted.some((other) => sameBytes(bytes(cidr), other)));
	// the programs do not read entries beyond the count
	const rest = before.cidr.slice(kept.length);
	return kept.length === before.count ? undefined : { count: kept.length, cidr: [...kept, ...rest] };
}

/** Words that lack bits of these frontends. */
function frontendWords(
	image: Image,
	kernel: KernelState,
	frontends: Iterable<{ readonly key: FrontendKey }>,
): WordWrite[] {
	const indexes = new Set<number>();
	for (const { key } of frontends) indexes.add(wordOf(frontendBit(key)));
	return [...indexes]
		.sort((a, b) => a - b)
		.map((index) => ({ index, value: kernel.frontendBits[index]! | image.frontendBits.words[index]! }))
		.filter(({ index, value }) => value !== kernel.frontendBits[index]);
}

/** undefined: no UDP flow may lose its frontend by these changes, nor by earlier ones. */
function epochs(
	{ frontends, frontendEpoch }: KernelState,
	changed: Plan['frontends'],
	gone: readonly FrontendKey[],
): Plan['frontendEpoch'] {
	const isUdp = ({ proto }: FrontendKey) => proto === PROTOCOLS.udp;
	const changesHands = ({ key, value }: Plan['frontends'][number]) => {
		const now = isUdp(key) && frontends.get(frontendName(key));
		return now && now.value.serviceId !== value.serviceId;
	};
	const during = (frontendEpoch | 1) >>> 0;
	if (during !== frontendEpoch && !gone.some(isUdp) && !changed.some(changesHands)) return undefined;
	return { during, after: (during + 1) >>> 0 };
}

type AddressWrites = Pick<Plan, 'addresses' | 'goneAddresses' | 'addressWords'>;

/** @param all compares every word of bits, not only those of the names */
function addressWrites(
	image: Image,
	kernel: KernelState,
	names: ReadonlySet<string>,
	all: boolean,
): AddressWrites {
	const addresses: AddressWrites['addresses'][number][] = [];
	const goneAddresses: Uint8Array[] = [];
	const words = new Set<number>(all ? kernel.addressBits.keys() : []);
	for (const name of [...names].sort()) {
		const now = kernel.addresses.get(name);
		const entry = image.addresses.get(name);
		const flags = entry && [...entry.users.values()].reduce((sum, one) => sum | one, 0);
		if (entry && flags !== now?.flags) addresses.push({ addr: entry.addr, flags: flags! });
		if (!entry && now) goneAddresses.push(now.addr);
		const addr = entry?.addr ?? now?.addr;
		if (addr) words.add(wordOf(addressBit(addr)));
	}
	const wanted = image.addressBits.words;
	const addressWords = [...words]
		.filter((index) => wanted[index] !== kernel.addressBits[index])
		.sort((a, b) => a - b)
		.map((index) => ({ index, value: wanted[index]! }));
	return { addresses, goneAddresses, addressWords };
}

function sourceRangeWrites(
	image: Image,
	kernel: KernelState,
	names: ReadonlySet<string>,
): Pick<Plan, 'sourceRanges' | 'goneSourceRanges'> {
	const sorted = [...names].sort();
	return {
		sourceRanges: sorted.flatMap((name) =>
			kernel.sourceRanges.has(name) ? [] : (image.sourceRanges.get(name) ?? []),
		),
		goneSourceRanges: sorted.flatMap((name) =>
			image.sourceRanges.has(name) ? [] : (kernel.sourceRanges.get(name) ?? []),
		),
	};
}

function everything(image: Image, kernel: KernelState): Touched {
	return {
		frontends: new Set([...image.frontends.keys(), ...kernel.frontends.keys()]),
		backends: new Set([...image.backendsById.keys(), ...kernel.backends.keys()]),
		tables: new Set(image.tablesByRef.keys()),
		addresses: new Set([...image.addresses.keys(), ...kernel.addresses.keys()]),
		sourceRanges: new Set([...image.sourceRanges.keys(), ...kernel.sourceRanges.keys()]),
	};
}

/** An id keeps its generation while it names the same backend; each assignment increments it. */
function backendValue(entry: BackendEntry, now: Backend | undefined): Backend {
	const { ip, port, protocol, key } = entry.backend;
	const { serviceId } = entry;
	const kept = isValid(now) && backendName(now) === key && now.serviceId === serviceId;
	return {
		addr: ip.bytes,
		port,
		proto: PROTOCOLS[protocol],
		flags: BackendFlag.VALID | (entry.localUsers > 0 ? BackendFlag.LOCAL : 0),
		generation: kept ? now.generation : ((now?.generation ?? 0) + 1) >>> 0,
		serviceId,
	};
}

function tableWrites(image: Image, kernel: KernelState, refs: ReadonlySet<number>): TableWrite[] {
	return [...refs]
		.sort((a, b) => a - b)
		.flatMap((ref): TableWrite[] => {
			const table = image.tablesByRef.get(ref);
			if (!table || table.users === 0) return [];
			const now = kernel.tables.get(ref);
			if (now?.written === table) return [];
			return [{ ref, size: table.size, table, chunks: chunkWrites(image, table, now?.content) }];
		});
}

/** Runs of chunks that differ. */
function chunkWrites(image: Image, table: TableEntry, now: Uint8Array | undefined): ChunkWrite[] {
	const idOf = (key: string) => image.backendOf(table.serviceId, key)!.id;
	const content = tableContent(table.backends, table.size, idOf);
	const place = { segment: table.ref >>> 16, first: table.ref & 0xffff };
	if (!now || now.length !== content.length) return [{ ...place, content }];
	const writes: ChunkWrite[] = [];
	let start = -1;
	for (let at = 0; at <= content.length; at += CHUNK) {
		const differs = at < content.length && !sameBytes(content, now, at, at + CHUNK);
		if (differs && start < 0) start = at;
		if (differs || start < 0) continue;
		writes.push({ ...place, first: place.first + start / CHUNK, content: content.subarray(start, at) });
		start = -1;
	}
	return writes;
}

function sameBytes(a: Uint8Array, b: Uint8Array, from = 0, to = a.length): boolean {
	for (let i = from; i < to; i++) if (a[i] !== b[i]) return false;
	return true;
}

function sameBackend(a: Backend, b: Backend): boolean {
	return (
		a.port === b.port &&
		a.proto === b.proto &&
		a.flags === b.flags &&
		a.generation === b.generation &&
		a.serviceId === b.serviceId &&
		sameBytes(a.addr, b.addr)
	);
}

function sameFrontend(a: Frontend, b: Frontend): boolean {
	return (Object.keys(b) as (keyof Frontend)[]).every((field) => a[field] === b[field]);
}

function sameSettings(a: Settings, b: Settings): boolean {
	return sameBytes(a.snatV4, b.snatV4) && sameBytes(a.snatV6, b.snatV6);
}
