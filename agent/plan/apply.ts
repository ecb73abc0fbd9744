import {
	backendCodec,
	type FrontendKey,
	frontendCodec,
	frontendKeyCodec,
	type ServiceCidrs,
	serviceAddressCodec,
	serviceCidrsCodec,
	settingsCodec,
	sourceRangeKeyCodec,
} from '../abi/layout.ts';
import { u32Bytes } from '../abi/u32.ts';
import type { BpfMap, ServiceMaps } from '../bpf/port.ts';
import { ipOfBytes } from '../model/ip.ts';
import { frontendBit, type WordWrite, wordOf } from './bits.ts';
import { writeEnded } from './ended-frontends.ts';
import { addEnded, frontendName, type KernelState, removeEnded, sourceRangeName } from './kernel.ts';
import type { Plan } from './plan.ts';

/** Entries of one batch call: many enough for few calls, few enough for little memory. */
const BATCH = 4096;

/**
 * Writes a plan, in its order.
 * @param ended gone frontends that stay for their TCP connections
 * @throws BpfError when a write fails; earlier writes are done.
 */
export function applyPlan(plan: Plan, maps: ServiceMaps, ended: readonly FrontendKey[] = []): void {
	const { known } = plan;
	if (plan.settings) maps.settings.update(u32Bytes(0), settingsCodec.encode(plan.settings));
	if (plan.keptServiceCidrs) writeServiceCidrs(maps, plan.keptServiceCidrs);
	while (maps.tables.count < plan.segments) maps.tables.grow();
	writeBackends(maps, plan.backends);
	writeChunks(maps, plan);
	// if a map has no room for both, old entries are deleted first
	const crowded = {
		frontends: known.frontends + plan.frontends.length > maps.frontends.maxEntries,
		sourceRanges: known.sourceRanges + plan.sourceRanges.length > maps.sourceRanges.maxEntries,
		addresses: known.addresses + plan.addresses.length > maps.addresses.maxEntries,
	};
	if (plan.frontendEpoch) maps.frontendEpoch.update(u32Bytes(0), u32Bytes(plan.frontendEpoch.during));
	if (crowded.sourceRanges) deleteSourceRanges(maps, plan);
	for (const part of parts(plan.sourceRanges))
		maps.sourceRanges.updateBatch(sourceRangeKeyCodec.encodeAll(part), ones(part.length));
	if (crowded.frontends) deleteFrontends(maps, plan, ended);
	writeWords(maps.frontendBits, plan.frontendWords);
	for (const part of parts(plan.frontends)) {
		const keys = frontendKeyCodec.encodeAll(part.map((f) => f.key));
		maps.frontends.updateBatch(keys, frontendCodec.encodeAll(part.map((f) => f.value)));
	}
	if (crowded.addresses) deleteAddresses(maps, plan);
	writeAddresses(maps, plan);
	if (!crowded.addresses) deleteAddresses(maps, plan);
	if (!crowded.frontends) deleteFrontends(maps, plan, ended);
	if (plan.frontendEpoch) maps.frontendEpoch.update(u32Bytes(0), u32Bytes(plan.frontendEpoch.after));
	if (!crowded.sourceRanges) deleteSourceRanges(maps, plan);
	writeBackends(maps, plan.goneBackends);
	if (plan.serviceCidrs) writeServiceCidrs(maps, plan.serviceCidrs);
}

function writeServiceCidrs(maps: ServiceMaps, cidrs: ServiceCidrs): void {
	maps.serviceCidrs.update(u32Bytes(0), serviceCidrsCodec.encode(cidrs));
}

function writeAddresses(maps: ServiceMaps, plan: Plan): void {
	for (const part of parts(plan.addresses)) {
		maps.addresses.updateBatch(
			Buffer.concat(part.map(({ addr }) => addr)),
			serviceAddressCodec.encodeAll(part),
		);
	}
	writeWords(maps.addressBits, plan.addressWords);
}

/** Writes words of a map of bits. */
export function writeWords(map: BpfMap, words: readonly WordWrite[]): void {
	for (const part of parts(words)) {
		const values = BigUint64Array.from(part, ({ value }) => value);
		map.updateBatch(indexes(part.map(({ index }) => index)), new Uint8Array(values.buffer));
	}
}

function deleteAddresses(maps: ServiceMaps, plan: Plan): void {
	for (const part of parts(plan.goneAddresses)) maps.addresses.deleteBatch(Buffer.concat(part));
}

function deleteSourceRanges(maps: ServiceMaps, plan: Plan): void {
	for (const part of parts(plan.goneSourceRanges))
		maps.sourceRanges.deleteBatch(sourceRangeKeyCodec.encodeAll(part));
}

function ones(count: number): Uint8Array {
	return new Uint8Array(new Uint32Array(count).fill(1).buffer);
}

function deleteFrontends(maps: ServiceMaps, plan: Plan, ended: readonly FrontendKey[]): void {
	const stay = new Set(ended);
	const gone = plan.goneFrontends.filter((key) => !stay.has(key));
	for (const part of parts(gone)) maps.frontends.deleteBatch(frontendKeyCodec.encodeAll(part));
	for (const part of parts(ended)) writeEnded(maps, part);
}

function writeBackends(maps: ServiceMaps, backends: Plan['backends']): void {
	for (const part of parts(backends)) {
		const values = backendCodec.encodeAll(part.map((backend) => backend.value));
		maps.backends.updateBatch(indexes(part.map((backend) => backend.id)), values);
	}
}

function writeChunks(maps: ServiceMaps, plan: Plan): void {
	const bySegment = Map.groupBy(
		plan.tables.flatMap((table) => table.chunks),
		(write) => write.segment,
	);
	for (const [segment, writes] of bySegment) {
		const map = maps.tables.segment(segment);
		let ids: number[] = [];
		let contents: Uint8Array[] = [];
		for (const { first, content } of writes) {
			for (let i = 0; i < content.length / map.valueSize; i++) ids.push(first + i);
			contents.push(content);
			if (ids.length < BATCH) continue;
			writeArray(map, ids, contents);
			[ids, contents] = [[], []];
		}
		writeArray(map, ids, contents);
	}
}

function writeArray(map: BpfMap, ids: readonly number[], contents: readonly Uint8Array[]): void {
	if (ids.length === 0) return;
	const values = new Uint8Array(ids.length * map.valueSize);
	let at = 0;
	for (const content of contents) {
		values.set(content, at);
		at += content.length;
	}
	map.updateBatch(indexes(ids), values);
}

function indexes(ids: readonly number[]): Uint8Array {
	const keys = new Uint8Array(ids.length * 4);
	const view = new DataView(keys.buffer);
	for (const [i, id] of ids.entries()) view.setUint32(i * 4, id, true);
	return keys;
}

function* parts<T>(items: readonly T[]): Iterable<readonly T[]> {
	for (let i = 0; i < items.length; i += BATCH) yield items.slice(i, i + BATCH);
}

/** Records that a plan has been written. @param ended as for applyPlan() */
export function acknowledge(plan: Plan, kernel: KernelState, ended: readonly FrontendKey[] = []): void {
	if (plan.settings) kernel.settings = plan.settings;
	if (plan.serviceCidrs) kernel.serviceCidrs = plan.serviceCidrs;
	for (const key of plan.sourceRanges) kernel.sourceRanges.set(sourceRangeName(key), key);
	for (const key of plan.goneSourceRanges) kernel.sourceRanges.delete(sourceRangeName(key));
	for (const entry of plan.addresses) kernel.addresses.set(ipOfBytes(entry.addr).text, entry);
	for (const addr of plan.goneAddresses) kernel.addresses.delete(ipOfBytes(addr).text);
	for (const { index, value } of plan.addressWords) kernel.addressBits[index] = value;
	for (const { index, value } of plan.frontendWords) kernel.frontendBits[index] = value;
	if (plan.frontendEpoch) kernel.frontendEpoch = plan.frontendEpoch.after;
	for (const { id, value } of [...plan.backends, ...plan.goneBackends]) kernel.backends.set(id, value);
	for (const { ref, size, table } of plan.tables) kernel.tables.set(ref, { size, written: table });
	for (const { key, value } of plan.frontends) {
		kernel.frontends.set(frontendName(key), { key, value });
		removeEnded(kernel, key);
	}
	for (const key of plan.goneFrontends) kernel.frontends.delete(frontendName(key));
	for (const key of ended) addEnded(kernel, key);
}

/**
 * Clears the bits that no frontend has any more, neither an ended one. A bit without a frontend
 * only costs lookups.
 * @param wanted the words of the image
 * @param gone keys of deleted frontends; undefined: all words are compared
 */
export function clearFrontendBits(
	maps: ServiceMaps,
	kernel: KernelState,
	wanted: BigUint64Array,
	gone: readonly FrontendKey[] | undefined,
): void {
	const indexes = gone ? new Set(gone.map((key) => wordOf(frontendBit(key)))) : wanted.keys();
	const words: WordWrite[] = [];
	for (const index of indexes) {
		const value = wanted[index]! | kernel.endedBits.words[index]!;
		if (value !== kernel.frontendBits[index]) words.push({ index, value });
	}
	writeWords(maps.frontendBits, words);
	for (const { index, value } of words) kernel.frontendBits[index] = value;
}
