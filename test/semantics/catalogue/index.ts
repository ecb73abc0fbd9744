/**
 * The required behaviour of maglane, by id. Test titles name the ids that they show.
 * docs/semantics.md is generated from both.
 */
import { ALLOCATION, ENVIRONMENT, MANIFESTS, NAMES } from './control-plane.ts';
import { DATAPATH, MAGLEV } from './datapath.ts';
import { PROXY } from './proxy.ts';
import type { Section } from './section.ts';
import { TRAFFIC } from './traffic.ts';

export type { Section };

export const CATALOGUE: readonly Section[] = [
	TRAFFIC,
	PROXY,
	ALLOCATION,
	NAMES,
	ENVIRONMENT,
	DATAPATH,
	MAGLEV,
	MANIFESTS,
];
