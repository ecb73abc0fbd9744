/**
 * Makes a veth receive by NAPI, so that XDP frames reach it. GRO enables NAPI since Linux 5.13.
 * Earlier kernels need an XDP program on the veth.
 */
import { release } from 'node:os';
import { check } from '../../../agent/bpf/call.ts';
import { openNative } from '../../../agent/bpf/ffi/native.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';
import { exit, loadTiny, ProgramType, set } from '../../../agent/bpf/tiny-program.ts';

const XDP_PASS = 2;
/** XDP_FLAGS_DRV_MODE */
const NATIVE = 1 << 2;

const [major = 0, minor = 0] = release().split('.').map(Number);
const groIsEnough = major > 5 || (major === 5 && minor >= 13);

/** @param ifindex of the veth in the namespace */
export function receiveByNapi(netns: string, ifindex: number): void {
	if (groIsEnough) return;
	const native = openNative('koffi');
	using switcher = new NetnsSwitcher();
	const pass = [set(0, XDP_PASS), exit()];
	const fd = check(loadTiny(native, { type: ProgramType.XDP, instructions: pass }), 'load', 'XDP_PASS');
	try {
		const attach = () => native.call.bpf_xdp_attach(ifindex, fd, NATIVE, null);
		check(switcher.within(netns, attach), 'attach', 'XDP_PASS');
	} finally {
		native.call.close(fd);
	}
}
