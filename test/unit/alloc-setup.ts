import { type Api, ApiError } from '../../standalone/api/index.ts';
import type { Service } from '../../standalone/port.ts';
import type { Fields } from '../fields.ts';

export const service = (name: string, spec: Fields = {}): Service => ({
	metadata: { name, namespace: 'default' },
	spec: { selector: { app: name }, ports: [{ port: 80 }], ...spec },
});

/** @returns the stored spec */
export const create = ({ objects }: Api, name: string, spec?: Fields): Fields =>
	objects.create('services', service(name, spec)).spec;

/** @returns the stored spec */
export function update({ objects }: Api, name: string, change: (spec: Fields) => void): Fields {
	const object = structuredClone(objects.mustGet('services', 'default', name));
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
