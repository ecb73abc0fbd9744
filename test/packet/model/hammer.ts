/**
 * Two CPUs compete for one source port. Every entry expires with each tick of the kernel, so both
 * take the port from each other a thousand times a second. When both have stopped, an entry with a
 * valid claim on the port must be its owner.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { ConnFlag, tupleCodec } from '../../../agent/abi/layout.ts';
import type { Connection, Dataplane } from '../fixture.ts';
import { program } from '../fixture.ts';
import type { Proto } from '../services.ts';
import { ADDR, type FamilyName, frameOf, NODEPORT, TARGET_PORT } from '../shape.ts';

export const PORT = 20_000;
/** With hz 0, every timeout is over after one jiffy. */
export const RODATA = { hz: 0, snat_port_min: PORT, snat_port_max: PORT };
/** Runs in a round, which take some milliseconds. */
const REPEAT = 300;

/** Rounds of `make test` for each hook, family and protocol. */
export const ROUNDS = 30;

/** Input of a worker (test/packet/model/hammer-worker.ts). */
export interface Job {
	readonly fd: number;
	readonly namespace: string;
	readonly ifindex: number;
	readonly kind: 'xdp' | 'skb';
	readonly frame: Uint8Array;
	readonly repeat: number;
}

/**
 * @returns the number of rounds after which two flows claimed the port, or its owner was neither of
 * them
 */
export async function hammer(
	plane: Dataplane,
	{ hook, family, proto, rounds }: { hook: string; family: FamilyName; proto: Proto; rounds: number },
): Promise<number> {
	const { node, remote, client, client2 } = ADDR[family];
	plane.services.add({
		proto,
		frontends: [{ address: node, port: NODEPORT }],
		backends: [{ address: remote, port: TARGET_PORT }],
	});
	const { dev, kind } = program(hook);
	const workers = [client, client2].map((src) => {
		const frame = frameOf({ proto, src, dst: node, sport: 4000, dport: NODEPORT, flags: 'S' });
		const job: Job = {
			fd: plane.objects.program(hook).fd,
			namespace: plane.net.name('dut'),
			ifindex: plane.ifindex(dev),
			kind: kind === 'xdp' ? 'xdp' : 'skb',
			frame,
			repeat: REPEAT,
		};
		return new Worker(new URL('./hammer-worker.ts', import.meta.url), { workerData: job });
	});
	let wrong = 0;
	try {
		await Promise.all(workers.map((worker) => once(worker, 'message')));
		for (let round = 0; round < rounds; round++) {
			const done = workers.map((worker) => once(worker, 'message'));
			for (const worker of workers) worker.postMessage('go');
			await Promise.all(done);
			if (!consistent(plane)) wrong++;
		}
	} finally {
		await Promise.all(workers.map((worker) => worker.terminate()));
	}
	return wrong;
}

/** Whether the port has one owner, and no other entry claims it. */
function consistent(plane: Dataplane): boolean {
	const entries = plane.connections();
	const byKey = new Map(entries.map((one) => [keyText(one.key), one]));
	const believers = entries.filter((one) => isForward(one) && believes(plane, one));
	return believers.every((one) => {
		const owner = byKey.get(keyText(turn(one.conn.nat)));
		return owner !== undefined && keyText(turn(owner.conn.nat)) === keyText(one.key);
	});
}

const isForward = ({ conn }: Connection) => (conn.flags & ConnFlag.FORWARD) !== 0;

/** Whether its next packet would use the port without a lookup of the reverse entry. */
function believes(plane: Dataplane, { conn }: Connection): boolean {
	const slot = plane.objects.map('claims').lookup(new Uint8Array(Uint32Array.of(conn.slot).buffer))!;
	return new DataView(slot.buffer, slot.byteOffset).getUint32(8, true) === conn.claim;
}

const turn = ({ saddr, daddr, sport, dport, proto }: Connection['key']) => ({
	saddr: daddr,
	daddr: saddr,
	sport: dport,
	dport: sport,
	proto,
});
const keyText = (key: Connection['key']) => Buffer.from(tupleCodec.encode(key)).toString('hex');
