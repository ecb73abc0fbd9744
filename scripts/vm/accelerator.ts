/** Detects whether KVM runs a stock kernel here, by booting one. */
import { accessSync, constants } from 'node:fs';
import { boot } from './boot.ts';
import type { Kernel } from './releases.ts';

export type Accelerator = 'kvm' | 'tcg';
export const isAccelerator = (word: string): word is Accelerator => word === 'kvm' || word === 'tcg';

const DEVICE = '/dev/kvm';
/** Ten times the boot time of a kernel. */
const TRIAL_MINUTES = 0.75;

/** KVM if it boots this kernel; else software emulation, after a message with the reason. */
export async function accelerator(kernel: Kernel, share: string): Promise<Accelerator> {
	const why = await whyNoKvm(kernel, share);
	if (why === undefined) return 'kvm';
	console.log(`Without KVM: ${why}. QEMU emulates the processor: all takes some ten times as long.`);
	return 'tcg';
}

async function whyNoKvm(kernel: Kernel, share: string): Promise<string | undefined> {
	try {
		accessSync(DEVICE, constants.R_OK | constants.W_OK);
	} catch (error) {
		return `${DEVICE} cannot be opened (${(error as NodeJS.ErrnoException).code})`;
	}
	const job = { kernel, command: 'true', share, minutes: TRIAL_MINUTES, accel: 'kvm', silent: true } as const;
	if ((await boot(job)) === 0) return undefined;
	return `a stock kernel does not boot by ${DEVICE}, which is, say, a paravirtual one`;
}
