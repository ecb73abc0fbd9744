import type { KubeObject } from '../../port.ts';
import { badRequest, unsupportedMediaType } from '../errors.ts';
import { jsonPatch } from './json-patch.ts';
import { mergeRulesOf } from './merge-keys.ts';
import { mergePatch } from './merge-patch.ts';
import { strategicMergePatch } from './strategic.ts';

const JSON_PATCH = 'application/json-patch+json';
const MERGE_PATCH = 'application/merge-patch+json';
const STRATEGIC = 'application/strategic-merge-patch+json';

function parse(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch (error) {
		throw badRequest(`error decoding patch: ${(error as Error).message}`);
	}
}

/**
 * Checks the patch type before the object lookup, because an apply may also create.
 * @throws ApiError 415.
 */
export function checkPatchType(type: string): void {
	if (type.startsWith('application/apply-patch'))
		throw unsupportedMediaType(
			[],
			'server-side apply is not supported by this API server; use client-side apply (kubectl apply --server-side=false)',
		);
	if (![JSON_PATCH, MERGE_PATCH, STRATEGIC].includes(type))
		throw unsupportedMediaType([JSON_PATCH, MERGE_PATCH, STRATEGIC]);
}

/** Applies a patch. @returns the new object. @throws ApiError 400, 415, 422. */
export function applyPatch(type: string, text: string, current: KubeObject): KubeObject {
	let patched: unknown;
	if (type === JSON_PATCH) patched = jsonPatch(current, parse(text));
	else if (type === MERGE_PATCH) patched = mergePatch(current, parse(text));
	else if (type === STRATEGIC)
		patched = strategicMergePatch(current, parse(text), mergeRulesOf(current.kind ?? ''));
	else throw unsupportedMediaType([JSON_PATCH, MERGE_PATCH, STRATEGIC]);
	if (typeof patched !== 'object' || patched === null || Array.isArray(patched))
		throw badRequest('the patch does not leave an object');
	return patched as KubeObject;
}
