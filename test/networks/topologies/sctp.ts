/**
 * SCTP between pods and the outside, as 5G cores and Diameter use it. No Service matches it, so all
 * programs pass it.
 */
import { expect } from 'vitest';
import { openNative } from '../../../agent/bpf/ffi/native.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';
import { podOf } from '../../netns/dataplane/topology.ts';
import type { Check, Site } from '../support/check.ts';
import { TARGET_PORT } from '../support/objects.ts';
import { socketAddress } from '../support/raw.ts';
import type { Family, Spec } from '../support/spec.ts';
import { flat } from './flat.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const IPPROTO_SCTP = 132;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;

const open = (native: ReturnType<typeof openNative>, family: Family) =>
	native.call.socket(family === 'v4' ? AF_INET : AF_INET6, SOCK_STREAM, IPPROTO_SCTP);

/** Connects by a kernel handshake. connect() waits at most two seconds. @returns 0, or -errno */
function connect(site: Site, from: string, to: string, family: Family): number {
	const native = openNative('koffi');
	using switcher = new NetnsSwitcher();
	const { net } = site.lab;
	const address = socketAddress(podOf(to)[family], TARGET_PORT);
	const server = switcher.within(net.name(to), () => open(native, family));
	const client = switcher.within(net.name(from), () => open(native, family));
	try {
		expect(native.call.bind(server, address, address.length)).toBe(0);
		expect(native.call.listen(server, 5)).toBe(0);
		const wait = new Uint8Array(BigInt64Array.of(2n, 0n).buffer);
		native.call.setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, wait, wait.length);
		return native.call.connect(client, address, address.length);
	} finally {
		native.call.close(client);
		native.call.close(server);
	}
}

const PASSES: Check = {
	id: 'sctp',
	title: 'SCTP passes between the outside and pods, and between pods of two nodes',
	async run(site, { family }) {
		for (const [from, to] of [
			['far', 'pod1a'],
			['pod1b', 'pod2a'],
		] as const)
			expect(connect(site, from, to, family), `from ${from} to ${to}`).toBe(0);
	},
};

/** A kernel without SCTP refuses the socket. */
function sctpSockets(): string | undefined {
	const native = openNative('koffi');
	const fd = open(native, 'v4');
	if (fd >= 0) native.call.close(fd);
	return fd >= 0 ? undefined : 'not in this kernel: SCTP';
}

export const sctp: Spec = {
	...{ name: 'sctp', models: 'SCTP beside Services: 5G cores, Diameter, SIGTRAN' },
	needs: [sctpSockets],
	modes: flat.modes,
	build: flat.build,
	checks: [PASSES],
	ownChecksOnly: true,
};
