import { counterCodec, Reason } from '../abi/layout.ts';
import type { BpfMap } from '../bpf/port.ts';

export interface CounterRow {
	/** `to_remote`: enum reason of bpf/abi.h, lower case. */
	readonly reason: string;
	readonly packets: bigint;
	readonly bytes: bigint;
}

const REASONS = Object.entries(Reason).filter(([name]) => name !== 'COUNT');

/** The count of every reason, summed over the CPUs, in the order of bpf/abi.h. */
export function counterRows(counters: BpfMap): CounterRow[] {
	const key = new Uint8Array(4);
	return REASONS.map(([name, index]) => {
		new DataView(key.buffer).setUint32(0, index, true);
		const perCpu = counters.lookup(key) ?? new Uint8Array();
		let packets = 0n;
		let bytes = 0n;
		for (let at = 0; at + counterCodec.size <= perCpu.length; at += counterCodec.size) {
			const one = counterCodec.decode(perCpu.subarray(at, at + counterCodec.size));
			packets += one.packets;
			bytes += one.bytes;
		}
		return { reason: name.toLowerCase(), packets, bytes };
	});
}
