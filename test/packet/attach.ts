/**
 * Attaches a TC program to a device by the means of this kernel. It stays attached until this
 * process ends or the device is removed.
 */
import { isBpfError } from '../../agent/bpf/error.ts';
import type { Native } from '../../agent/bpf/ffi/library.ts';
import { attachTcx } from '../../agent/bpf/link.ts';
import type { Program } from '../../agent/bpf/program.ts';
import { attachTc } from '../../agent/bpf/tc.ts';
import type { TcDirection } from '../../agent/bpf/tc-target.ts';

/**
 * Attaches to a device of the current namespace: by TCX without a pin, or before Linux 6.6 by a
 * filter. The kernel removes a filter with its device.
 */
export function attachToDevice(
	native: Native,
	program: Program,
	ifindex: number,
	direction: TcDirection,
	place: 'first' | 'last' = 'first',
): { close(): void } {
	try {
		return attachTcx(native, program, ifindex, direction, place);
	} catch (error) {
		if (!isBpfError(error, 'EINVAL')) throw error;
		return attachTc(native, program, { ifindex, direction }, '', { mechanism: 'clsact' });
	}
}
