import { type Api, ApiError } from '../../agent/standalone/api/index.ts';
import type { Fields, KubeObject } from '../../agent/standalone/port.ts';

export const service = (name: string, spec: Fields = {}): KubeObject => ({
	metadata: { name, namespace: 'default' },
	spec: { selector: { app: name }, ports: [{ port: 80 }], ...spec },
});

/** @returns the spec as it is stored. */
export const create = ({ objects }: Api, name: string, spec?: Fields): Fields =>
	objects.create('services', service(name, spec)).spec;

/** @returns the spec as it is stored. */
export function update({ objects }: Api, name: string, change: (spec: Fields) => void): Fields {
	const object = structuredClone(objects.mustGet('services', 'default', name)) as KubeObject;
	change(object.spec);
	return objects.update('services', object).spec;
}

export function refusal(run: () => unknown): ApiError {
	try {
		run();
	} catch (error) {
		if (error instanceof ApiError) return error;
		throw error;
	}
	throw new Error('nothing was refused');
}
