import type { KubeObject } from '../port.ts';
import type { OwnerKind } from './claim.ts';
import type { ControllerContext } from './context.ts';
import { controllerRef, isTerminating } from './meta.ts';

/** A pod of the owner's template; the caller adds what makes it one of its own. */
export function podFromTemplate(
	owner: KubeObject,
	kind: OwnerKind,
	name: string,
	template: KubeObject = owner.spec.template,
): KubeObject {
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
		spec: structuredClone(template.spec),
	};
}

/** Creates a pod and tells of it on its owner. @throws what the API throws, told too. */
export function createPod(ctx: ControllerContext, owner: KubeObject, pod: KubeObject): KubeObject {
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

/** Deletes a pod and tells of it on its owner. One that is ending already is left alone. */
export function deletePod(ctx: ControllerContext, owner: KubeObject, pod: KubeObject): void {
	if (isTerminating(pod)) return;
	ctx.caches.pods.delete(pod);
	tell(ctx, owner, { reason: 'SuccessfulDelete', message: words(owner, 'delete', pod) });
}

/** As kube-controller-manager says it: the StatefulSet's controller has a phrase of its own. */
function words(owner: KubeObject, verb: 'create' | 'delete', pod: KubeObject): string {
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
