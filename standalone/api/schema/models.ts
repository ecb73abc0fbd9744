import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A field of a model in the official client's generated types. */
export interface ModelField {
	name: string;
	/** Like `string`, `number`, `V1Probe`, `Array<V1Volume>`, `{ [key: string]: string; }`. */
	type: string;
	/** `int32`, `int64`, `double`, `date-time`, `byte`, `int-or-string` or empty. */
	format: string;
	required: boolean;
	description: string;
}

export interface Model {
	name: string;
	description: string;
	fields: ReadonlyMap<string, ModelField>;
}

/** Kinds whose model has another name than `V1<Kind>`. */
const RENAMED: Record<string, string> = {
	'authentication.k8s.io/v1/TokenRequest': 'AuthenticationV1TokenRequest',
	'v1/Event': 'CoreV1Event',
	'events.k8s.io/v1/Event': 'EventsV1Event',
};

export const modelNameOf = (apiVersion: string, kind: string): string =>
	RENAMED[`${apiVersion}/${kind}`] ?? `V1${kind}`;

const clean = (text: string): string =>
	text
		.replaceAll(/\\(['"])/g, '$1')
		.replaceAll(/\s+/g, ' ')
		.trim();

const FIELD =
	/(?:\/\*\*\s*\*\s*(?<text>(?:(?!\*\/)[\s\S])*?)\s*\*\/\s*)?'(?<name>[^']+)'(?<optional>\?)?: [^;{]+/g;

function declarations(text: string): Map<string, { required: boolean; description: string }> {
	const body = text.slice(
		text.indexOf('export declare class'),
		text.indexOf('static readonly discriminator'),
	);
	return new Map(
		[...body.matchAll(FIELD)].map(({ groups }) => [
			groups!['name']!,
			{ required: groups!['optional'] === undefined, description: clean(groups!['text'] ?? '') },
		]),
	);
}

/** The description in a model's own comment. */
function describe(text: string): string {
	const match = /\/\*\*\s*\*\s*((?:(?!\*\/)[\s\S])*?)\s*\*\/\s*export declare class/.exec(text);
	return clean(match?.[1] ?? '');
}

/**
 * The Kubernetes schemas, read from the generated models of the client package. Types and formats
 * come from the JavaScript, descriptions and required fields from the declarations. Each model is
 * read once, on first use.
 */
export class Models {
	readonly #directory: string;
	readonly #known = new Map<string, Model | undefined>();

	constructor() {
		const entry = fileURLToPath(import.meta.resolve('@kubernetes/client-node'));
		this.#directory = join(dirname(entry), 'gen', 'models');
	}

	/** @returns undefined if no model has the name. */
	get(name: string): Model | undefined {
		if (!this.#known.has(name)) this.#known.set(name, this.#read(name));
		return this.#known.get(name);
	}

	#read(name: string): Model | undefined {
		if (!/^[A-Za-z0-9]+$/.test(name)) return undefined;
		let script: string;
		let types: string;
		try {
			script = readFileSync(join(this.#directory, `${name}.js`), 'utf8');
			types = readFileSync(join(this.#directory, `${name}.d.ts`), 'utf8');
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
			throw error;
		}
		const list = /attributeTypeMap = (\[[\s\S]*?\n\]);/.exec(script)?.[1];
		if (!list) return undefined;
		const declared = declarations(types);
		const fields = (
			JSON.parse(list) as { baseName: string; name: string; type: string; format: string }[]
		).map(({ baseName, name: property, type, format }): [string, ModelField] => {
			const { required = false, description = '' } = declared.get(property) ?? {};
			return [baseName, { name: baseName, type, format, required, description }];
		});
		return { name, description: describe(types), fields: new Map(fields) };
	}
}

/** Splits `Array<X>` and map types. @returns the container and the element type. */
export function elementOf(type: string): { container: 'list' | 'map'; element: string } | undefined {
	const list = /^Array<(.*)>$/.exec(type);
	if (list) return { container: 'list', element: list[1]! };
	const map = /^\{ \[key: string\]: (.*?);? \}$/.exec(type);
	return map ? { container: 'map', element: map[1]! } : undefined;
}
