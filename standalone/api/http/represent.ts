import type { KubeObject } from '../../port.ts';
import { apiVersionOf, type Kind } from '../kinds.ts';
import { tableOf } from '../table/table.ts';
import { viewOf } from './view.ts';

/** The form of objects in a response: full objects, table rows or metadata only. */
export interface Representation {
	form: 'object' | 'table' | 'metadata';
	/** The includeObject parameter of tables. */
	include: string;
}

/** Selects the form by Accept. The first supported form wins. */
export function representationOf(accept: string | undefined, query: URLSearchParams): Representation {
	const include = query.get('includeObject') ?? 'Metadata';
	for (const range of (accept ?? '').split(',')) {
		const parameters = range.split(';').map((part) => part.trim());
		if (parameters[0] !== 'application/json' || parameters.every((part) => part !== 'g=meta.k8s.io')) {
			if (parameters[0] === 'application/json' || parameters[0] === '*/*') break;
			continue;
		}
		if (!parameters.includes('v=v1')) continue;
		if (parameters.includes('as=Table')) return { form: 'table', include };
		if (parameters.some((part) => part.startsWith('as=PartialObjectMetadata')))
			return { form: 'metadata', include };
	}
	return { form: 'object', include };
}

const partial = (object: KubeObject): object => ({
	kind: 'PartialObjectMetadata',
	apiVersion: 'meta.k8s.io/v1',
	metadata: object.metadata,
});

/** One object in the requested form. @param now for ages in tables. */
export function represent(
	kind: Kind,
	object: KubeObject,
	{ form, include }: Representation,
	now: number,
): object {
	if (form === 'metadata') return partial(object);
	if (form === 'table')
		return tableOf(kind, [object], { include, now }, object.metadata.resourceVersion ?? '');
	return viewOf(kind, object);
}

export interface ListMeta {
	resourceVersion: string;
	continue?: string;
	remainingItemCount?: number;
}

/** A list in the requested form. */
export function representList(
	kind: Kind,
	items: readonly KubeObject[],
	meta: ListMeta,
	{ form, include }: Representation,
	now: number,
): object {
	if (form === 'table') {
		const table = tableOf(kind, items, { include, now }, meta.resourceVersion);
		return { ...table, metadata: meta };
	}
	if (form === 'metadata')
		return {
			kind: 'PartialObjectMetadataList',
			apiVersion: 'meta.k8s.io/v1',
			metadata: meta,
			items: items.map(partial),
		};
	return {
		kind: `${kind.kind}List`,
		apiVersion: apiVersionOf(kind),
		metadata: meta,
		items: items.map((item) => viewOf(kind, item)),
	};
}
