import type { KubeObject, OwnerReference } from '../port.ts';

/** The key of an object: `namespace/name`, or `name` if cluster-scoped. */
export function keyOf(object: KubeObject): string {
	return keyFor(object.metadata.namespace, object.metadata.name);
}

export function keyFor(namespace: string | undefined, name: string): string {
	return namespace ? `${namespace}/${name}` : name;
}

export function splitKey(key: string): { namespace: string | undefined; name: string } {
	const slash = key.indexOf('/');
	return slash < 0
		? { namespace: undefined, name: key }
		: { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The owner that manages the object, if any. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
	return object.metadata.ownerReferences?.find((owner) => owner.controller);
}

export function ownedBy(object: KubeObject, owner: KubeObject): boolean {
	return controllerOf(object)?.uid === owner.metadata.uid;
}

/** Creates a controller reference, like metav1.NewControllerRef. */
export function controllerRef(owner: KubeObject, apiVersion: string, kind: string): OwnerReference {
	return {
		apiVersion,
		kind,
		name: owner.metadata.name,
		uid: owner.metadata.uid ?? '',
		controller: true,
		blockOwnerDeletion: true,
	};
}

export function isTerminating(object: KubeObject): boolean {
	return object.metadata.deletionTimestamp !== undefined;
}

/** The HTTP-like status code of an object API error; 0 for other errors. */
export function errorCode(error: unknown): number {
	if (typeof error !== 'object' || error === null || !('code' in error)) return 0;
	return typeof error.code === 'number' ? error.code : 0;
}

/** JSON with sorted keys and without undefined fields: equal text means equal objects. */
export function canonical(value: unknown): string {
	return JSON.stringify(value, (_key, field: unknown) => {
		if (typeof field !== 'object' || field === null || Array.isArray(field)) return field;
		return Object.fromEntries(Object.entries(field).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
	});
}

export function byName(a: KubeObject, b: KubeObject): number {
	return a.metadata.name < b.metadata.name ? -1 : a.metadata.name > b.metadata.name ? 1 : 0;
}

/** Compares by age, the oldest first. */
export function byAge(a: KubeObject, b: KubeObject): number {
	const [first = '', second = ''] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp];
	return first < second ? -1 : first > second ? 1 : byName(a, b);
}
