import type { Event, KubeObject } from '../port.ts';
import { badRequest } from './errors.ts';

export type Selector = (object: KubeObject) => boolean;

interface Requirement {
	key: string;
	operator: 'in' | 'notin' | 'exists' | 'absent';
	values: string[];
}

/** Splits at commas, except inside parentheses. */
function splitTerms(text: string): string[] {
	const terms: string[] = [];
	let depth = 0;
	let start = 0;
	for (let at = 0; at <= text.length; at++) {
		const char = text[at];
		if (char === '(') depth++;
		else if (char === ')') depth--;
		else if (char === undefined || (char === ',' && depth === 0)) {
			terms.push(text.slice(start, at).trim());
			start = at + 1;
		}
	}
	return terms.filter((term) => term !== '');
}

const KEY = '[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?';
const SET = new RegExp(`^(?<key>${KEY})\\s+(?<operator>in|notin)\\s*\\((?<values>[^()]*)\\)$`);
const EQUALITY = new RegExp(`^(?<key>${KEY})\\s*(?<operator>==|=|!=)\\s*(?<value>[-A-Za-z0-9_.]*)$`);
const EXISTENCE = new RegExp(`^(?<not>!\\s*)?(?<key>${KEY})$`);

function parseTerm(term: string): Requirement {
	const set = SET.exec(term)?.groups;
	if (set)
		return {
			key: set['key']!,
			operator: set['operator'] as 'in' | 'notin',
			values: set['values']!.split(',').map((value) => value.trim()),
		};
	const equal = EQUALITY.exec(term)?.groups;
	if (equal)
		return {
			key: equal['key']!,
			operator: equal['operator'] === '!=' ? 'notin' : 'in',
			values: [equal['value']!],
		};
	const exists = EXISTENCE.exec(term)?.groups;
	if (exists) return { key: exists['key']!, operator: exists['not'] ? 'absent' : 'exists', values: [] };
	throw badRequest(`unable to parse requirement: couldn't parse the selector string "${term}"`);
}

function meets(labels: Record<string, string> | undefined, { key, operator, values }: Requirement): boolean {
	const value = labels?.[key];
	if (operator === 'exists') return value !== undefined;
	if (operator === 'absent') return value === undefined;
	// As in Kubernetes, != and notin also match objects without the key
	if (value === undefined) return operator === 'notin';
	return values.includes(value) === (operator === 'in');
}

/** Parses a selector like `a=b,c!=d,e in (f,g),!h`. @throws ApiError 400. */
export function labelSelector(text: string): Selector {
	const requirements = splitTerms(text).map(parseTerm);
	return (object) => requirements.every((requirement) => meets(object.metadata.labels, requirement));
}

const FIELDS: Record<string, readonly string[]> = {
	services: ['spec.clusterIP', 'spec.type'],
	pods: [
		'spec.nodeName',
		'spec.restartPolicy',
		'spec.schedulerName',
		'spec.serviceAccountName',
		'spec.hostNetwork',
		'status.phase',
		'status.podIP',
		'status.nominatedNodeName',
	],
	events: [
		'involvedObject.kind',
		'involvedObject.namespace',
		'involvedObject.name',
		'involvedObject.uid',
		'involvedObject.apiVersion',
		'involvedObject.resourceVersion',
		'involvedObject.fieldPath',
		'reason',
		'reportingComponent',
		'source',
		'type',
	],
	namespaces: ['status.phase'],
	nodes: ['spec.unschedulable'],
	replicasets: ['status.replicas'],
	secrets: ['type'],
};

const EMPTY: Record<string, string> = {
	'spec.hostNetwork': 'false',
	'spec.unschedulable': 'false',
	'status.replicas': '0',
};

function fieldOf(object: KubeObject, path: string): string {
	let value: unknown = object;
	for (const part of path.split('.')) value = (value as Record<string, unknown> | undefined)?.[part];
	if (path === 'source') value = (object as Event).source?.component ?? object['reportingComponent'];
	return value === undefined || value === null ? (EMPTY[path] ?? '') : String(value);
}

/**
 * Parses a selector like `metadata.name=x,spec.clusterIP!=None`.
 * @throws ApiError 400 if the resource does not index a field.
 */
export function fieldSelector(resource: string, text: string): Selector {
	const terms = splitTerms(text).map((term) => {
		const match = /^(?<path>[A-Za-z.]+)\s*(?<operator>==|=|!=)(?<value>.*)$/.exec(term)?.groups;
		if (!match) throw badRequest(`invalid selector: '${term}'; can't understand '${term}'`);
		const path = match['path']!;
		if (path !== 'metadata.name' && path !== 'metadata.namespace' && !FIELDS[resource]?.includes(path))
			throw badRequest(`field label not supported: ${path}`);
		return { path, equal: match['operator'] !== '!=', value: match['value']!.trim() };
	});
	return (object) => terms.every(({ path, equal, value }) => (fieldOf(object, path) === value) === equal);
}
