/**
 * The process behind tun.ts. Its arguments are tun or tap, and pairs of `{ netns, dev }` as JSON.
 * One thread for each direction waits in read().
 */
import { constants, openSync, readSync, writeSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { check } from '../../../agent/bpf/call.ts';
import { openNative } from '../../../agent/bpf/ffi/native.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';

/** From <linux/if_tun.h>: IFF_NO_PI with IFF_TUN or IFF_TAP. */
const TUNSETIFF = 0x400454ca;
const FLAGS = { tun: 0x1001, tap: 0x1002 };
const LARGEST = 65_536;

interface End {
	netns: string;
	dev: string;
}

function openTun(
	native: ReturnType<typeof openNative>,
	switcher: NetnsSwitcher,
	flags: number,
	{ netns, dev }: End,
): number {
	const request = new Uint8Array(40);
	request.set(Buffer.from(dev));
	new DataView(request.buffer).setUint16(16, flags, true);
	return switcher.within(netns, () => {
		const fd = openSync('/dev/net/tun', constants.O_RDWR);
		check(native.call.ioctl(fd, TUNSETIFF, request), 'attach to', dev);
		return fd;
	});
}

function carry({ from, to }: { from: number; to: number }): never {
	const buffer = new Uint8Array(LARGEST);
	for (;;) {
		try {
			writeSync(to, buffer, 0, readSync(from, buffer));
		} catch (error) {
			// The far device is down or refuses the packet, so drop it as a wire would
			const { code } = error as NodeJS.ErrnoException;
			if (code !== 'EIO' && code !== 'EINVAL' && code !== 'EBADFD') throw error;
		}
	}
}

if (isMainThread) {
	const native = openNative('koffi');
	const switcher = new NetnsSwitcher();
	const flags = FLAGS[process.argv[2] as keyof typeof FLAGS];
	const pairs = JSON.parse(process.argv[3]!) as [End, End][];
	for (const pair of pairs) {
		const [a, b] = pair.map((end) => openTun(native, switcher, flags, end)) as [number, number];
		for (const workerData of [
			{ from: a, to: b },
			{ from: b, to: a },
		])
			new Worker(new URL(import.meta.url), { workerData });
	}
	console.log('ready');
} else carry(workerData as { from: number; to: number });
