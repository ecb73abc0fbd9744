/** Sends raw frames out of a device. */
import { check } from '../../agent/bpf/call.ts';
import type { Native } from '../../agent/bpf/ffi/library.ts';

/** <linux/if_packet.h>, <sys/socket.h>. */
const AF_PACKET = 17;
const SOCK_RAW = 3;

/** struct sockaddr_ll: family, protocol and ifindex. Sending does not need the other fields. */
function linkAddress(ifindex: number): Uint8Array {
	const address = new Uint8Array(20);
	const view = new DataView(address.buffer);
	view.setUint16(0, AF_PACKET, true);
	view.setUint32(4, ifindex, true);
	return address;
}

/**
 * Sends out of a device in the namespace of the thread.
 * @returns the frames that the kernel accepted
 */
export function sendFrames(
	{ call }: Native,
	ifindex: number,
	frames: readonly Uint8Array[],
): readonly Uint8Array[] {
	const fd = check(call.socket(AF_PACKET, SOCK_RAW, 0), 'open', 'a packet socket');
	const address = linkAddress(ifindex);
	const taken = frames.filter(
		(frame) => call.sendto(fd, frame, frame.length, 0, address, address.length) > 0,
	);
	call.close(fd);
	return taken;
}
