import type { KubeObject } from '../../port.ts';
import { badRequest, invalid, tooLarge } from '../errors.ts';
import { forbiddenField, unsupportedField } from '../field-error.ts';
import type { Kind } from '../kinds.ts';
import type { Objects } from '../objects.ts';
import { fieldSelector, labelSelector, type Selector } from '../select.ts';
import { keyOf } from '../store.ts';
import type { ListMeta } from './represent.ts';

/** The conjunction of a query's labelSelector and fieldSelector; undefined without either. */
export function selectorOf(kind: Kind, query: URLSearchParams): Selector | undefined {
	const labels = query.get('labelSelector');
	const fields = query.get('fieldSelector');
	const parts: Selector[] = [];
	if (labels) parts.push(labelSelector(labels));
	if (fields) parts.push(fieldSelector(kind.storedAs ?? kind.resource, eventFields(kind, fields)));
	return parts.length === 0 ? undefined : (object) => parts.every((part) => part(object));
}

const eventFields = (kind: Kind, text: string): string =>
	kind.storedAs ? text.replaceAll(/(^|,)regarding\./g, '$1involvedObject.') : text;

/** Reads a non-negative integer parameter. @throws ApiError 400. */
export function numberOf(query: URLSearchParams, name: string): number | undefined {
	const text = query.get(name);
	if (text === null || text === '') return undefined;
	if (!/^\d{1,16}$/.test(text))
		throw badRequest(`Invalid value: "${text}": ${name} must be a non-negative integer`);
	return Number(text);
}

interface Token {
	revision: number;
	after: string;
}

/** The JSON in the text of a token, before its check. */
interface SentToken {
	v: unknown;
	rv: number;
	start: unknown;
}

function readToken(text: string): Token {
	try {
		const { v, rv, start } = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as SentToken;
		if (v !== 1 || !Number.isInteger(rv) || typeof start !== 'string') throw new TypeError('not a token');
		return { revision: rv, after: start };
	} catch {
		throw badRequest('continue key is not valid: it must be a value returned by the server');
	}
}

const writeToken = ({ revision, after }: Token): string =>
	Buffer.from(JSON.stringify({ v: 1, rv: revision, start: after })).toString('base64url');

const MATCHES = ['Exact', 'NotOlderThan'];

/** @throws ApiError 422 with the messages of ListOptions' validation. */
function checkMatch(kind: Kind, query: URLSearchParams): void {
	const match = query.get('resourceVersionMatch');
	if (match === null) return;
	const field = 'resourceVersionMatch';
	const version = query.get('resourceVersion');
	const faults = [];
	if (!version)
		faults.push(
			forbiddenField(field, 'resourceVersionMatch is forbidden unless resourceVersion is provided'),
		);
	if (query.get('continue'))
		faults.push(forbiddenField(field, 'resourceVersionMatch is forbidden when continue is provided'));
	if (!MATCHES.includes(match)) faults.push(unsupportedField(field, match, MATCHES));
	if (match === 'Exact' && version === '0')
		faults.push(forbiddenField(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'));
	if (faults.length > 0)
		throw invalid({ group: 'meta.k8s.io', resource: kind.resource, kind: 'ListOptions' }, '', faults);
}

/**
 * The revision to list: the one of the continue token or the exact one that the client requests.
 * Undefined selects the newest, which is at least as new as the requested one.
 */
function revisionOf(objects: Objects, query: URLSearchParams, token: Token | undefined): number | undefined {
	const asked = numberOf(query, 'resourceVersion');
	if (token) {
		if (asked) throw badRequest('specifying resource version is not allowed when using continue');
		return token.revision;
	}
	if (asked !== undefined && asked > objects.store.revision) throw tooLarge(asked, objects.store.revision);
	if (asked === undefined || asked === 0) return undefined;
	const match = query.get('resourceVersionMatch');
	// The first page of a limited list shows exactly the requested version
	const exact = match === 'Exact' || (match === null && query.has('limit') && query.get('limit') !== '0');
	return exact ? asked : undefined;
}

/**
 * GET of a collection. All pages of a list (limit, continue) show the same revision.
 * @throws ApiError 410 if the store no longer has that revision.
 */
export function listPage(
	objects: Objects,
	kind: Kind,
	namespace: string | undefined,
	query: URLSearchParams,
): { items: KubeObject[]; meta: ListMeta } {
	const resource = kind.storedAs ?? kind.resource;
	checkMatch(kind, query);
	const selector = selectorOf(kind, query);
	const limit = numberOf(query, 'limit') ?? 0;
	const text = query.get('continue');
	const token = text ? readToken(text) : undefined;
	const past = revisionOf(objects, query, token);
	const revision = past ?? objects.store.revision;
	const all =
		past === undefined
			? objects.store.list(resource, namespace)
			: objects.store.listAt(resource, namespace, past);
	const rest = token ? all.filter((object) => keyOfObject(object) > token.after) : all;
	const matching = selector ? rest.filter(selector) : rest;
	const meta: ListMeta = { resourceVersion: String(revision) };
	if (limit === 0 || matching.length <= limit) return { items: matching, meta };
	const items = matching.slice(0, limit);
	meta.continue = writeToken({ revision, after: keyOfObject(items.at(-1)!) });
	if (!selector) meta.remainingItemCount = matching.length - limit;
	return { items, meta };
}

const keyOfObject = (object: KubeObject): string => keyOf(object.metadata.namespace, object.metadata.name);
