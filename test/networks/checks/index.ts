/** The checks of all topologies, and the function that selects those of one topology. */
import type { Check } from '../support/check.ts';
import type { Spec } from '../support/spec.ts';
import { OUTSIDE } from './outside.ts';
import { PATHS } from './paths.ts';
import { CLUSTER_CLIENTS } from './pods.ts';

export const COMMON: readonly Check[] = [...OUTSIDE, ...CLUSTER_CLIENTS, ...PATHS];

export const checksOf = (spec: Spec): Check[] =>
	[...(spec.ownChecksOnly ? [] : COMMON), ...(spec.checks ?? [])].filter(
		(check) => check.applies?.(spec) ?? true,
	);
