import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attachToDevice } from './attach.ts';
import { Dataplane } from './fixture.ts';
import { ADDR, CASES, frameOf, NODEPORT, TARGET_PORT } from './shape.ts';
import { sendFrames } from './wire.ts';

/**
 * BPF_PROG_TEST_RUN builds no skb that ends in its IP header, and no frame below 14 bytes. This
 * test sends such frames over a wire to attached programs.
 */
describe('frames that end in a header, over a wire', () => {
	let plane: Dataplane;
	const links: { close(): void }[] = [];
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const { family, proto } of CASES)
			plane.services.add({
				proto,
				frontends: [{ address: ADDR[family].node, port: NODEPORT }],
				backends: [{ address: ADDR[family].remote, port: TARGET_PORT }],
			});
		const { native } = plane.objects;
		const attach = (name: string, dev: string) => {
			const program = plane.objects.program(name);
			links.push(plane.within(() => attachToDevice(native, program, plane.ifindex(dev), 'ingress')));
		};
		attach('ml_from_netdev', 'up0');
		attach('ml_from_pod', 'pod0');
	});
	afterAll(() => {
		for (const one of links) one.close();
		plane?.close();
	});

	/** Sends out of the far end of a veth. @returns the frames that the kernel accepted */
	const send = (dev: string, frames: readonly Uint8Array[]) => {
		const ifindex = plane.net.ifindex('out', dev);
		return plane.within(() => sendFrames(plane.objects.native, ifindex, frames), 'out');
	};

	it.each([
		// XDP and TC
		{ dev: 'up0', programs: 2 },
		{ dev: 'pod0', programs: 1 },
	])('are all left to the stack ($dev)', async ({ dev, programs }) => {
		const whole = CASES.map(({ family, proto }) => {
			const { client, node } = ADDR[family];
			return frameOf({ proto, src: client, dst: node, sport: 4000, dport: NODEPORT, flags: 'S' });
		});
		// the header of each frame gives a greater length
		const cut = whole.flatMap((frame) =>
			Array.from({ length: 60 }, (_, length) => frame.subarray(0, length + 1)),
		);
		const before = plane.counters();
		const taken = send(dev, cut);
		const more = (reason: string) => plane.counters().get(reason)! - before.get(reason)!;
		const withType = taken.filter((frame) => frame.length >= 14).length * programs;
		await expect.poll(() => more('PASS_MALFORMED')).toBe(withType);
		expect(withType).toBeGreaterThan(150);
		expect([more('TO_REMOTE'), more('CONN_NEW'), more('TO_CLIENT')]).toEqual([0, 0, 0]);
	});
});
