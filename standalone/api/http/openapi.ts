import { apiVersionOf, KINDS, type Kind } from '../kinds.ts';
import { mergeRulesOf } from '../patch/merge-keys.ts';
import { elementOf, type ModelField, type Models, modelNameOf } from '../schema/models.ts';

type Json = Record<string, unknown>;

const gvk = ({ group, version, kind }: { group: string; version: string; kind: string }) => ({
	group,
	version,
	kind,
});

/** `V1ServicePort` -> `io.k8s.api.v1.ServicePort`. `kubectl explain` prints the last part. */
function schemaName(model: string): string {
	const match = /^(?<prefix>[A-Z][a-z]+)?V1(?<name>[A-Z].*)$/.exec(model)?.groups;
	return `io.k8s.api.${match?.['prefix'] ? `${match['prefix'].toLowerCase()}.` : ''}v1.${match?.['name'] ?? model}`;
}

const PLAIN: Record<string, Json> = {
	string: { type: 'string' },
	boolean: { type: 'boolean' },
	Date: { type: 'string', format: 'date-time' },
	V1MicroTime: { type: 'string', format: 'date-time' },
	IntOrString: { type: 'string', format: 'int-or-string' },
	any: { type: 'object' },
	object: { type: 'object' },
};

/** Builds the schemas of a group version and of all models that they reference. */
class SchemaSet {
	readonly schemas: Record<string, Json> = {};
	readonly #models: Models;

	constructor(models: Models) {
		this.#models = models;
	}

	add(model: string, extra: Json = {}, path = '', root = ''): string {
		// Merge keys depend on the field's path, so a model's schema has those of the first kind that
		// uses it
		const name = schemaName(model);
		const known = this.schemas[name];
		if (known && root === '') return name;
		const found = this.#models.get(model);
		const schema: Json = known ?? { type: 'object', description: found?.description ?? '', ...extra };
		this.schemas[name] = schema;
		if (!found || known) return name;
		const properties: Record<string, Json> = {};
		schema['properties'] = properties;
		for (const field of found.fields.values()) properties[field.name] = this.#property(field, path, root);
		const required = [...found.fields.values()].filter((field) => field.required).map((field) => field.name);
		if (required.length > 0) schema['required'] = required;
		return name;
	}

	#property(field: ModelField, path: string, root: string): Json {
		const here = path === '' ? field.name : `${path}.${field.name}`;
		const schema = this.#typeOf(field.type, field.format, here, root);
		const rule = mergeRulesOf(root).get(here);
		const described: Json = field.description ? { ...schema, description: field.description } : schema;
		if (!rule) return described;
		const strategy = rule.retain ? 'retainKeys' : 'merge';
		return {
			...described,
			'x-kubernetes-patch-strategy': strategy,
			...(rule.key ? { 'x-kubernetes-patch-merge-key': rule.key } : {}),
		};
	}

	#typeOf(type: string, format: string, path: string, root: string): Json {
		const inner = elementOf(type);
		if (inner?.container === 'list')
			return { type: 'array', items: this.#typeOf(inner.element, '', path, root) };
		if (inner) return { type: 'object', additionalProperties: this.#typeOf(inner.element, '', path, root) };
		if (type === 'number') {
			const integer = format.startsWith('int');
			return { type: integer ? 'integer' : 'number', ...(format ? { format } : {}) };
		}
		const plain = PLAIN[type];
		if (plain) return { ...plain };
		// allOf, because some consumers ignore a $ref beside a description
		return { allOf: [{ $ref: `#/components/schemas/${this.add(type, {}, path, root)}` }] };
	}
}

const reference = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const content = (name: string): Json => ({ 'application/json': { schema: reference(name) } });
/**
 * kubectl builds a strategic merge patch from these schemas only if the operation accepts that
 * type.
 */
const patchContent = Object.fromEntries(
	['json-patch', 'merge-patch', 'strategic-merge-patch'].map((type) => [
		`application/${type}+json`,
		{ schema: { type: 'object' } },
	]),
);
const parameter = (name: string): Json => ({
	name,
	in: 'query',
	schema: { type: 'string', uniqueItems: true },
});

/** kubectl leaves validation to the server only if it finds fieldValidation here. */
const WRITE_PARAMETERS = ['dryRun', 'fieldManager', 'fieldValidation', 'pretty'].map(parameter);

function operation(kind: Kind, action: string, name: string): Json {
	const writes = action === 'post' || action === 'put' || action === 'patch';
	return {
		operationId: `${action}${apiVersionOf(kind).replaceAll(/[^A-Za-z0-9]/g, '')}${kind.kind}`,
		'x-kubernetes-action': action,
		'x-kubernetes-group-version-kind': gvk(kind),
		...(writes
			? {
					parameters: WRITE_PARAMETERS,
					requestBody: { content: action === 'patch' ? patchContent : content(name) },
				}
			: {}),
		responses: { 200: { description: 'OK', content: content(name) } },
	};
}

const operations = (kind: Kind, actions: readonly string[], name: string): Json =>
	Object.fromEntries(actions.map((action) => [action, operation(kind, action, name)]));

function groupVersionDocument(models: Models, kinds: readonly Kind[]): Json {
	const set = new SchemaSet(models);
	const paths: Record<string, Json> = {};
	for (const kind of kinds) {
		const model = modelNameOf(apiVersionOf(kind), kind.kind);
		const name = set.add(model, { 'x-kubernetes-group-version-kind': [gvk(kind)] }, '', kind.kind);
		const root = kind.group ? `/apis/${apiVersionOf(kind)}` : '/api/v1';
		const base = `${root}${kind.namespaced ? '/namespaces/{namespace}' : ''}/${kind.resource}`;
		paths[base] = operations(kind, ['get', 'post', 'delete'], name);
		paths[`${base}/{name}`] = operations(kind, ['get', 'put', 'patch', 'delete'], name);
	}
	return {
		openapi: '3.0.0',
		info: { title: 'Kubernetes', version: 'v1.32.0' },
		paths,
		components: { schemas: set.schemas },
	};
}

const documentPath = (kind: Kind): string => (kind.group ? `apis/${apiVersionOf(kind)}` : 'api/v1');

/** Serves /openapi/v3: the index, and one document for each group version. */
export function openApi(models: Models, path: string): Json | undefined {
	if (path === '/openapi/v3') {
		const paths = KINDS.map(documentPath).map((at) => [
			at,
			{ serverRelativeURL: `/openapi/v3/${at}?hash=1` },
		]);
		return { paths: Object.fromEntries(paths) };
	}
	if (!path.startsWith('/openapi/v3/')) return undefined;
	const kinds = KINDS.filter((kind) => documentPath(kind) === path.slice('/openapi/v3/'.length));
	return kinds.length > 0 ? groupVersionDocument(models, kinds) : undefined;
}
