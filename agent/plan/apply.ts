import {
	backendCodec,
	frontendCodec,
	frontendKeyCodec,
	serviceAddressCodec,
	serviceCidrsCodec,
	settingsCodec,
	sourceRangeKeyCodec,
} from '../abi/layout.ts';
import type { BpfMap, ServiceMaps } from '../bpf/port.ts';
import { ipOfBytes } from '../model/ip.ts';
import { frontendName, type KernelState, sourceRangeName, u32Key } from './kernel.ts';
import type { Plan } from './plan.ts';

/** Entries of one batch call: enough that the calls cost nothing, few enough that their memory does not either. */
const BATCH = 4096;

/** Writes a plan, in its order. @throws BpfError when a write fails; those before it are done. */
export function applyPlan(plan: Plan, maps: ServiceMaps): void {
	if (plan.settings) maps.settings.update(u32Key(0), settingsCodec.encode(plan.settings));
	if (plan.serviceCidrs) maps.serviceCidrs.update(u32Key(0), serviceCidrsCodec.encode(plan.serviceCidrs));
	while (maps.tables.count < plan.segments) maps.tables.grow();
	writeBackends(maps, plan.backends);
	writeChunks(maps, plan);
	for (const part of parts(plan.sourceRanges)) {
		maps.sourceRanges.updateBatch(sourceRangeKeyCodec.encodeAll(part), ones(part.length));
	}
	// where the map has no room for both, what goes makes place first: it is going anyway
	const crowded = plan.known + plan.frontends.length > maps.frontends.maxEntries;
	if (crowded) deleteFrontends(maps, plan);
	for (const part of parts(plan.frontends)) {
		const keys = frontendKeyCodec.encodeAll(part.map((f) => f.key));
		maps.frontends.updateBatch(keys, frontendCodec.encodeAll(part.map((f) => f.value)));
	}
	writeAddresses(maps, plan);
	if (!crowded) deleteFrontends(maps, plan);
	for (const part of parts(plan.goneSourceRanges)) {
		maps.sourceRanges.deleteBatch(sourceRangeKeyCodec.encodeAll(part));
	}
	writeBackends(maps, plan.goneBackends);
}

function writeAddresses(maps: ServiceMaps, plan: Plan): void {
	for (const part of parts(plan.addresses)) {
		maps.addresses.updateBatch(
			Buffer.concat(part.map(({ addr }) => addr)),
			serviceAddressCodec.encodeAll(part),
		);
	}
	for (const part of parts(plan.addressWords)) {
		const values = BigUint64Array.from(part, ({ value }) => value);
		maps.addressBits.updateBatch(indexes(part.map(({ index }) => index)), new Uint8Array(values.buffer));
	}
	for (const part of parts(plan.goneAddresses)) maps.addresses.deleteBatch(Buffer.concat(part));
}

function ones(count: number): Uint8Array {
	return new Uint8Array(new Uint32Array(count).fill(1).buffer);
}

function deleteFrontends(maps: ServiceMaps, plan: Plan): void {
	for (const part of parts(plan.goneFrontends)) maps.frontends.deleteBatch(frontendKeyCodec.encodeAll(part));
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

/** Notes in the state that a plan has been written. */
export function acknowledge(plan: Plan, kernel: KernelState): void {
	if (plan.settings) kernel.settings = plan.settings;
	if (plan.serviceCidrs) kernel.serviceCidrs = plan.serviceCidrs;
	for (const key of plan.sourceRanges) kernel.sourceRanges.set(sourceRangeName(key), key);
	for (const key of plan.goneSourceRanges) kernel.sourceRanges.delete(sourceRangeName(key));
	for (const entry of plan.addresses) kernel.addresses.set(ipOfBytes(entry.addr).text, entry);
	for (const addr of plan.goneAddresses) kernel.addresses.delete(ipOfBytes(addr).text);
	for (const { index, value } of plan.addressWords) kernel.addressBits[index] = value;
	for (const { id, value } of [...plan.backends, ...plan.goneBackends]) kernel.backends.set(id, value);
	for (const { ref, size, table } of plan.tables) kernel.tables.set(ref, { size, written: table });
	for (const { key, value } of plan.frontends) kernel.frontends.set(frontendName(key), { key, value });
	for (const key of plan.goneFrontends) kernel.frontends.delete(frontendName(key));
}
