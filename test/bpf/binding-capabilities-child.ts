/**
 * Performs the BPF operations of the agent. binding-capabilities.test.ts runs it with few
 * capabilities:
 * node binding-capabilities-child.ts <ffi> <object> <segments object> <pins>
 */
import { join } from 'node:path';
import type { FfiName } from '../../agent/bpf/ffi/library.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { adoptLink, attachXdp } from '../../agent/bpf/link.ts';
import { BpfObject } from '../../agent/bpf/object.ts';
import { KernelTableSegments } from '../../agent/bpf/table-segments.ts';
import { attachTc } from '../../agent/bpf/tc.ts';

const [ffi, file, segmentsFile, pins] = process.argv.slice(2) as [FfiName, string, string, string];
const LOOPBACK = 1;
const native = openNative(ffi);

/** The first round creates all objects, the second one adopts them. */
for (const round of ['made', 'adopted']) {
	using object = BpfObject.open(native, file);
	object.pinMapsUnder(pins);
	object.load();
	using tables = BpfObject.open(native, segmentsFile);
	tables.pinMapsUnder(pins);
	tables.load();
	using segments = new KernelTableSegments(native, tables.map('tables'), pins);
	if (segments.count === 0) segments.grow();
	segments.segment(0).update(new Uint8Array(4), new Uint8Array(64).fill(1));
	const entries = [...segments.segment(0).entries()].length;
	const pass = object.program('pass');
	const fits = (state: { ifindex: number | undefined }) => state.ifindex === LOOPBACK;
	const attach = () => attachXdp(native, pass, LOOPBACK, 'generic');
	using xdp = adoptLink(native, join(pins, 'link_xdp'), pass, fits, attach);
	const target = { ifindex: LOOPBACK, direction: 'ingress' } as const;
	const tc = attachTc(native, object.program('variables'), target, join(pins, 'link_tc'));
	const { retval } = pass.testRun({
		data: new Uint8Array(64),
		context: { kind: 'xdp', ingressIfindex: LOOPBACK },
	});
	const right = xdp.state().programId === pass.id && tc.programId() === object.program('variables').id;
	console.log(JSON.stringify({ round, segments: segments.count, entries, retval, right }));
	tc.close();
}
