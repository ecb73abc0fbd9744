/**
 * Reads manifests: YAML with several documents, KYAML and JSON (both are YAML), lists of objects.
 */
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../port.ts';

interface Manifest extends KubeObject {
	/** The objects of a list. */
	items?: KubeObject[];
}

/**
 * @param name the file name, for error messages.
 * @throws Error naming the file, the document and its missing field.
 */
export function parseManifests(text: string, name: string): KubeObject[] {
	return parseAllDocuments(text).flatMap((document, i): KubeObject[] => {
		const [error] = document.errors;
		if (error) throw new Error(`Cannot read ${name}: ${error.message}`);
		const object: Manifest | null | undefined = document.toJS();
		if (object === null || object === undefined) return [];
		const objects = object.kind?.endsWith('List') && object.items ? object.items : [object];
		for (const one of objects)
			if (typeof one?.kind !== 'string' || typeof one.metadata?.name !== 'string')
				throw new Error(`Cannot use document ${i + 1} of ${name}: it lacks kind or metadata.name`);
		return objects;
	});
}
