/**
 * Two tun devices in two namespaces, joined by a process that carries their packets. Packets begin
 * with the IP header:
 *
 *     node tun.ts /run/netns/a tun0 /run/netns/b tun0
 *
 * The program prints "ready" when both devices exist. The kernel removes them at its exit.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, read, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { openNative } from '../../../agent/bpf/ffi/native.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';

/** <linux/if_tun.h>. */
const TUNSETIFF = 0x400454ca;
const IFF_TUN_NO_PI = 0x1001;
const LONGEST = 65_536;

export class TunPair implements AsyncDisposable {
	readonly #child: ChildProcess;

	static async start(a: { netns: string; dev: string }, b: { netns: string; dev: string }): Promise<TunPair> {
		const args = [import.meta.filename, a.netns, a.dev, b.netns, b.dev];
		const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
		await once(child.stdout!, 'data');
		return new TunPair(child);
	}

	private constructor(child: ChildProcess) {
		this.#child = child;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const gone = once(this.#child, 'exit');
		this.#child.kill('SIGKILL');
		await gone;
	}
}

function openTun(netns: string, dev: string): number {
	const native = openNative('koffi');
	using switcher = new NetnsSwitcher();
	return switcher.within(basename(netns), () => {
		const fd = openSync('/dev/net/tun', 'r+');
		const request = new Uint8Array(40);
		request.set(new TextEncoder().encode(dev));
		new DataView(request.buffer).setUint16(16, IFF_TUN_NO_PI, true);
		const result = native.call.ioctl(fd, TUNSETIFF, request);
		if (result < 0) throw new Error(`Cannot make ${dev}: errno ${-result}`);
		return fd;
	});
}

function pump(from: number, to: number): void {
	const buffer = Buffer.alloc(LONGEST);
	const next = () =>
		read(from, buffer, 0, LONGEST, null, (_, length) => {
			try {
				// writing to a device that is down fails
				if (length > 0) writeSync(to, buffer, 0, length);
			} catch {}
			if (length > 0) next();
			else setTimeout(next, 10);
		});
	next();
}

if (process.argv[1] === import.meta.filename) {
	const [a, aDev, b, bDev] = process.argv.slice(2) as [string, string, string, string];
	const [left, right] = [openTun(a, aDev), openTun(b, bDev)];
	pump(left, right);
	pump(right, left);
	console.log('ready');
}
