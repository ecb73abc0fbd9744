import type { DaemonSet, KubeObject, Pod, PodTemplate, ReplicaSet, StatefulSet } from '../port.ts';
import type { OwnerKind } from './claim.ts';
import type { ControllerContext } from './context.ts';
import { controllerRef, isTerminating } from './meta.ts';

/** Creates a pod from the owner's template. The caller adds its own labels and fields. */
export function podFromTemplate(
	owner: ReplicaSet | StatefulSet | DaemonSet,
	kind: OwnerKind,
	name: string,
	template: PodTemplate = owner.spec.template!,
): Pod {
	return {
		apiVersion: 'v1',
		kind: 'Pod',
		metadata: {
			name,
			namespace: owner.metadata.namespace!,
			labels: { ...template.metadata?.labels },
			...(template.metadata?.annotations ? { annotations: { ...template.metadata.annotations } } : {}),
			ownerReferences: [controllerRef(owner, kind.apiVersion, kind.kind)],
		},
		spec: structuredClone(template.spec!),
	};
}

/** Creates a pod and emits an Event on its owner, also on failure. @throws errors of the API. */
export function createPod(ctx: ControllerContext, owner: KubeObject, pod: Pod): Pod {
	try {
		const created = ctx.caches.pods.create(pod);
		tell(ctx, owner, { reason: 'SuccessfulCreate', message: words(owner, 'create', pod) });
		return created;
	} catch (error) {
		const said = error instanceof Error ? error.message : String(error);
		const message =
			owner.kind === 'StatefulSet'
				? `create Pod ${pod.metadata.name} in StatefulSet ${owner.metadata.name} failed error: ${said}`
				: `Error creating: ${said}`;
		tell(ctx, owner, { type: 'Warning', reason: 'FailedCreate', message });
		throw error;
	}
}

/** Deletes a pod and emits an Event on its owner. Skips a terminating pod. */
export function deletePod(ctx: ControllerContext, owner: KubeObject, pod: Pod): void {
	if (isTerminating(pod)) return;
	ctx.caches.pods.delete(pod);
	tell(ctx, owner, { reason: 'SuccessfulDelete', message: words(owner, 'delete', pod) });
}

/** Event messages of kube-controller-manager; those for a StatefulSet differ. */
function words(owner: KubeObject, verb: 'create' | 'delete', pod: Pod): string {
	if (owner.kind === 'StatefulSet')
		return `${verb} Pod ${pod.metadata.name} in StatefulSet ${owner.metadata.name} successful`;
	return `${verb === 'create' ? 'Created' : 'Deleted'} pod: ${pod.metadata.name}`;
}

function tell(
	ctx: ControllerContext,
	owner: KubeObject,
	what: { type?: 'Warning'; reason: string; message: string },
): void {
	ctx.record(owner, { component: `${owner.kind?.toLowerCase()}-controller`, ...what });
}
