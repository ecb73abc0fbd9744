/** One of the CPUs of hammer.ts. It runs its packet repeatedly, one round for each message. */
import { parentPort, workerData } from 'node:worker_threads';
import { openNative } from '../../../agent/bpf/ffi/native.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';
import { Program } from '../../../agent/bpf/program.ts';
import type { Job } from './hammer.ts';

const { fd, namespace, ifindex, kind, frame, repeat } = workerData as Job;
const program = new Program(openNative('koffi'), fd, 'hammered', '');
const switcher = new NetnsSwitcher();
const context =
	kind === 'xdp'
		? ({ kind, ingressIfindex: ifindex } as const)
		: ({ kind, ifindex, ingressIfindex: ifindex } as const);

parentPort!.on('message', () => {
	// each run changes the packet, so every call makes one run
	switcher.within(namespace, () => {
		for (let i = 0; i < repeat; i++) program.testRun({ data: frame, context });
	});
	parentPort!.postMessage('done');
});
parentPort!.postMessage('ready');
