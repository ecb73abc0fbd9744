import type { DaemonSet, Deployment, Incoming, PodSpecDraft, ReplicaSet, StatefulSet } from '../../port.ts';
import { defaultPodSpec } from './pod.ts';

const PERCENT_25 = '25%';

/** The API server stores the absent timestamp of a template as null. */
interface TemplateDraft {
	metadata?: { creationTimestamp?: string | null | undefined } | undefined;
	spec?: PodSpecDraft | undefined;
}

function defaultTemplate(spec: { template?: TemplateDraft | undefined }): void {
	spec.template ??= {};
	spec.template.metadata ??= {};
	spec.template.metadata.creationTimestamp ??= null;
	spec.template.spec ??= {};
	defaultPodSpec(spec.template.spec);
}

export function defaultDeployment(object: Incoming<Deployment>): void {
	object.spec ??= {};
	const spec = object.spec;
	spec.replicas ??= 1;
	spec.strategy ??= {};
	spec.strategy.type ??= 'RollingUpdate';
	if (spec.strategy.type === 'RollingUpdate') {
		spec.strategy.rollingUpdate ??= {};
		spec.strategy.rollingUpdate.maxUnavailable ??= PERCENT_25;
		spec.strategy.rollingUpdate.maxSurge ??= PERCENT_25;
	}
	spec.revisionHistoryLimit ??= 10;
	spec.progressDeadlineSeconds ??= 600;
	defaultTemplate(spec);
	object.status ??= {};
}

export function defaultReplicaSet(object: Incoming<ReplicaSet>): void {
	object.spec ??= {};
	object.spec.replicas ??= 1;
	defaultTemplate(object.spec);
	object.status ??= { replicas: 0 };
}

export function defaultStatefulSet(object: Incoming<StatefulSet>): void {
	object.spec ??= {};
	const spec = object.spec;
	spec.replicas ??= 1;
	spec.podManagementPolicy ??= 'OrderedReady';
	spec.updateStrategy ??= {};
	spec.updateStrategy.type ??= 'RollingUpdate';
	if (spec.updateStrategy.type === 'RollingUpdate') {
		spec.updateStrategy.rollingUpdate ??= {};
		spec.updateStrategy.rollingUpdate.partition ??= 0;
	}
	spec.persistentVolumeClaimRetentionPolicy ??= { whenDeleted: 'Retain', whenScaled: 'Retain' };
	spec.revisionHistoryLimit ??= 10;
	for (const claim of spec.volumeClaimTemplates ?? []) {
		claim.apiVersion ??= 'v1';
		claim.kind ??= 'PersistentVolumeClaim';
		if (claim.spec) claim.spec.volumeMode ??= 'Filesystem';
		claim.status ??= { phase: 'Pending' };
	}
	defaultTemplate(spec);
	object.status ??= { replicas: 0, availableReplicas: 0 };
}

export function defaultDaemonSet(object: Incoming<DaemonSet>): void {
	object.spec ??= {};
	const spec = object.spec;
	spec.updateStrategy ??= {};
	spec.updateStrategy.type ??= 'RollingUpdate';
	if (spec.updateStrategy.type === 'RollingUpdate') {
		spec.updateStrategy.rollingUpdate ??= {};
		spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
		spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
	}
	spec.revisionHistoryLimit ??= 10;
	defaultTemplate(spec);
	object.status ??= {
		currentNumberScheduled: 0,
		desiredNumberScheduled: 0,
		numberMisscheduled: 0,
		numberReady: 0,
	};
}
