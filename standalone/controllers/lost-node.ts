import type { ControllerContext } from './context.ts';
import type { WorkQueue } from './queue.ts';

/** Deletes the pods of a deleted node at once, because no kubelet is left to end them. */
export function startLostNodes(ctx: ControllerContext): WorkQueue {
	const { nodes, pods } = ctx.caches;
	const queue = ctx.queue('lost-node', (node) => {
		if (nodes.get(node)) return;
		for (const pod of pods.by('node', node)) pods.delete(pod, 0);
	});
	nodes.subscribe((before, after) => {
		if (before && !after) queue.add(before.metadata.name);
	});
	return queue;
}
