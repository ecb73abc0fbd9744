import { isDeepStrictEqual } from 'node:util';
import type { Deployment, Draft, Incoming, ObjectMeta, StatefulSet } from '../../port.ts';
import {
	type FieldError,
	forbiddenField,
	invalidField,
	requiredField,
	unsupportedField,
} from '../field-error.ts';
import { validateLabels } from '../meta.ts';
import { isOneOf } from '../one-of.ts';
import { validatePodSpec } from './pod.ts';

type SelectorDraft = Draft<Deployment['spec']['selector']>;

/** The fields that all workloads have. DaemonSets have no replicas. */
type WorkloadDraft = {
	metadata: ObjectMeta;
	spec?: Pick<Draft<Deployment['spec']>, 'replicas' | 'selector' | 'template'> | undefined;
};

const OPERATORS = ['DoesNotExist', 'Exists', 'In', 'NotIn'];

function validateSelector(selector: SelectorDraft | undefined): FieldError[] {
	if (!selector) return [requiredField('spec.selector')];
	const expressions = selector.matchExpressions ?? [];
	if (Object.keys(selector.matchLabels ?? {}).length + expressions.length === 0)
		return [invalidField('spec.selector', selector, 'empty selector is invalid for workload')];
	return [
		...validateLabels(selector.matchLabels, 'spec.selector.matchLabels'),
		...expressions.flatMap((entry, at) =>
			isOneOf(OPERATORS, entry.operator)
				? []
				: [
						invalidField(
							`spec.selector.matchExpressions[${at}].operator`,
							entry.operator,
							'not a valid selector operator',
						),
					],
		),
	];
}

/** Whether a `metav1.LabelSelector` matches the labels. */
export function selectorMatches(
	selector: SelectorDraft | undefined,
	labels: Readonly<Record<string, string | undefined>> = {},
): boolean {
	const exact = Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
	return (
		exact &&
		(selector?.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
			const value = labels[key!];
			if (operator === 'Exists') return value !== undefined;
			if (operator === 'DoesNotExist') return value === undefined;
			if (operator === 'NotIn') return value === undefined || !values.includes(value);
			return value !== undefined && values.includes(value);
		})
	);
}

/** Validation shared by Deployments, ReplicaSets, StatefulSets and DaemonSets. */
export function validateWorkload(object: WorkloadDraft): FieldError[] {
	const spec = object.spec!;
	const faults = validateSelector(spec.selector);
	if (spec.replicas !== undefined && !(Number.isInteger(spec.replicas) && spec.replicas >= 0))
		faults.push(invalidField('spec.replicas', spec.replicas, 'must be greater than or equal to 0'));
	const labels = spec.template!.metadata?.labels;
	faults.push(...validateLabels(labels, 'spec.template.metadata.labels'));
	if (faults.length === 0 && !selectorMatches(spec.selector, labels))
		faults.push(
			invalidField(
				'spec.template.metadata.labels',
				labels ?? {},
				'`selector` does not match template `labels`',
			),
		);
	faults.push(...validatePodSpec(spec.template!.spec, 'spec.template.spec'));
	if (spec.template!.spec!.restartPolicy !== 'Always')
		faults.push(
			unsupportedField('spec.template.spec.restartPolicy', spec.template!.spec!.restartPolicy, ['Always']),
		);
	return faults;
}

const asNumber = (value: unknown): number =>
	typeof value === 'number'
		? value
		: /^\d+%$/.test(String(value))
			? Number.parseInt(String(value), 10)
			: Number.NaN;

export function validateDeployment(object: Incoming<Deployment>): FieldError[] {
	const faults = validateWorkload(object);
	const strategy = object.spec!.strategy!;
	const types = ['Recreate', 'RollingUpdate'];
	if (!isOneOf(types, strategy.type))
		faults.push(unsupportedField('spec.strategy.type', strategy.type, types));
	if (strategy.type === 'Recreate' && strategy.rollingUpdate)
		faults.push(
			forbiddenField(
				'spec.strategy.rollingUpdate',
				"may not be specified when strategy `type` is 'Recreate'",
			),
		);
	if (strategy.type !== 'RollingUpdate') return faults;
	for (const field of ['maxUnavailable', 'maxSurge'] as const) {
		const value = strategy.rollingUpdate![field];
		if (!(asNumber(value) >= 0))
			faults.push(
				invalidField(
					`spec.strategy.rollingUpdate.${field}`,
					value,
					"a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
				),
			);
	}
	if (
		asNumber(strategy.rollingUpdate!.maxUnavailable) === 0 &&
		asNumber(strategy.rollingUpdate!.maxSurge) === 0
	)
		faults.push(
			invalidField('spec.strategy.rollingUpdate.maxUnavailable', 0, 'may not be 0 when `maxSurge` is 0'),
		);
	return faults;
}

export function validateSelectorKept(object: WorkloadDraft, old: WorkloadDraft): FieldError[] {
	if (isDeepStrictEqual(object.spec!.selector, old.spec!.selector)) return [];
	return [invalidField('spec.selector', object.spec!.selector, 'field is immutable')];
}

const STATEFUL_MUTABLE =
	"updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

export function validateStatefulSetUpdate(object: Incoming<StatefulSet>, old: StatefulSet): FieldError[] {
	const fixed = ['selector', 'serviceName', 'podManagementPolicy', 'volumeClaimTemplates'] as const;
	if (fixed.every((field) => isDeepStrictEqual(object.spec![field], old.spec[field]))) return [];
	return [forbiddenField('spec', STATEFUL_MUTABLE)];
}
