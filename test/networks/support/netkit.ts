/**
 * Creates pairs of netkit devices by rtnetlink (<linux/if_link.h>), because ip(8) lacks them before
 * iproute2 6.7.
 */
import { spawnSync } from 'node:child_process';
import { check } from '../../../agent/bpf/call.ts';
import type { Native } from '../../../agent/bpf/ffi/library.ts';
import { openNative } from '../../../agent/bpf/ffi/native.ts';
import { errnoOf, messages } from '../../../agent/bpf/netlink-message.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';
import type { Need } from '../../../scripts/machine.ts';
import { attribute, joined, nested, text } from './attributes.ts';

export type NetkitMode = 'l2' | 'l3';

const AF_NETLINK = 16;
/** SOCK_RAW | SOCK_CLOEXEC */
const SOCKET = 3 | 0o2000000;
const NETLINK_ROUTE = 0;
const NEW_LINK = 16;
/** NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE */
const FLAGS = 0x1 | 0x4 | 0x200 | 0x400;
const Attribute = { NAME: 3, LINK_INFO: 18, KIND: 1, DATA: 2, PEER: 1, MODE: 5 } as const;
const MODES: Readonly<Record<NetkitMode, number>> = { l2: 0, l3: 1 };
const HEADER = 16;
/** An empty struct ifinfomsg, so that the kernel chooses all its values. */
const LINK = new Uint8Array(16);
const EOPNOTSUPP = 95;

function request(mode: NetkitMode, name: string, peer: string): Uint8Array {
	const data = nested(
		Attribute.DATA,
		attribute(Attribute.MODE, new Uint8Array(Uint32Array.of(MODES[mode]).buffer)),
		nested(Attribute.PEER, LINK, text(Attribute.NAME, peer)),
	);
	const body = joined([
		LINK,
		text(Attribute.NAME, name),
		nested(Attribute.LINK_INFO, text(Attribute.KIND, 'netkit'), data),
	]);
	const header = new Uint8Array(HEADER);
	const view = new DataView(header.buffer);
	view.setUint32(0, HEADER + body.length, true);
	view.setUint16(4, NEW_LINK, true);
	view.setUint16(6, FLAGS, true);
	return joined([header, body]);
}

/** Creates a pair in the namespace of the thread. @returns a positive errno, or 0 */
function make({ call }: Native, mode: NetkitMode, name: string, peer: string): number {
	const message = request(mode, name, peer);
	const fd = check(call.socket(AF_NETLINK, SOCKET, NETLINK_ROUTE), 'open', 'a netlink socket');
	try {
		check(call.send(fd, message, message.length, 0), 'ask for', 'a netkit pair');
		const buffer = new Uint8Array(4096);
		const length = check(call.recv(fd, buffer, buffer.length, 0), 'read', 'the answer for a netkit pair');
		const [answer] = messages(buffer.subarray(0, length));
		return errnoOf(answer!.body);
	} finally {
		call.close(fd);
	}
}

/** Creates a pair in a namespace, with both ends down. @throws Error with the errno */
export function netkitPair(netns: string, mode: NetkitMode, name: string, peer: string): void {
	using switcher = new NetnsSwitcher();
	const errno = switcher.within(netns, () => make(openNative('koffi'), mode, name, peer));
	if (errno !== 0) throw new Error(`Cannot make netkit devices ${name} and ${peer}: errno ${errno}`);
}

/** Whether this kernel has netkit devices (Linux 6.7). Creates a pair to find out. */
export const netkitDevices: Need = () => {
	const name = `mlnk${process.pid}`;
	spawnSync('ip', ['netns', 'add', name]);
	try {
		using switcher = new NetnsSwitcher();
		const errno = switcher.within(name, () => make(openNative('koffi'), 'l3', 'probe0', 'probe1'));
		if (errno === 0) return undefined;
		return errno === EOPNOTSUPP ? 'not in this kernel: netkit' : `netkit: errno ${errno}`;
	} finally {
		spawnSync('ip', ['netns', 'delete', name]);
	}
};
