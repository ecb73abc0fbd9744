/** @kubernetes/client-node as a client. */
import {
	ApiException,
	CoreV1Api,
	KubeConfig,
	PatchStrategy,
	setHeaderOptions,
	type V1ConfigMap,
	type V1Service,
	VersionApi,
	Watch,
} from '@kubernetes/client-node';
import { vi } from 'vitest';
import { type Client, type KindFacts, NAMESPACE as namespace } from './facts.ts';

const WATCH_MS = 20_000;
/** Path of the account files below the root of a pod's file system. */
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

interface Calls<T> {
	readonly path: string;
	readonly made: T;
	list(): Promise<{ items: T[]; metadata?: { resourceVersion?: string } }>;
	create(body: T): Promise<T>;
	read(): Promise<T>;
	replace(body: T): Promise<T>;
	patch(value: string): Promise<T>;
	delete(): Promise<unknown>;
	values(object: T): Record<string, string>;
}

const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);

function configMaps(api: CoreV1Api, name: string): Calls<V1ConfigMap> {
	const one = { name, namespace };
	return {
		path: `/api/v1/namespaces/${namespace}/configmaps`,
		made: { metadata: { name }, data: { value: 'one' } },
		list: () => api.listNamespacedConfigMap({ namespace }),
		create: (body) => api.createNamespacedConfigMap({ namespace, body }),
		read: () => api.readNamespacedConfigMap(one),
		replace: (body) => api.replaceNamespacedConfigMap({ ...one, body }),
		patch: (value) => api.patchNamespacedConfigMap({ ...one, body: { data: { value } } }, merge),
		delete: () => api.deleteNamespacedConfigMap(one),
		values: ({ data }) => data!,
	};
}

function services(api: CoreV1Api, name: string): Calls<V1Service> {
	const one = { name, namespace };
	return {
		path: `/api/v1/namespaces/${namespace}/services`,
		made: { metadata: { name }, spec: { selector: { value: 'one' }, ports: [{ port: 80 }] } },
		list: () => api.listNamespacedService({ namespace }),
		create: (body) => api.createNamespacedService({ namespace, body }),
		read: () => api.readNamespacedService(one),
		replace: (body) => api.replaceNamespacedService({ ...one, body }),
		patch: (value) => api.patchNamespacedService({ ...one, body: { spec: { selector: { value } } } }, merge),
		delete: () => api.deleteNamespacedService(one),
		values: ({ spec }) => spec!.selector!,
	};
}

/** The status of a call. */
async function codeOf(answer: Promise<unknown>): Promise<number> {
	try {
		await answer;
		return 200;
	} catch (error) {
		if (error instanceof ApiException) return error.code;
		throw error;
	}
}

/** @returns the first event after a resource version */
async function firstEvent(config: KubeConfig, path: string, resourceVersion: string): Promise<string> {
	const { promise, resolve, reject } = Promise.withResolvers<string>();
	const timer = setTimeout(() => resolve('nothing'), WATCH_MS);
	const stop = await new Watch(config).watch(
		path,
		{ resourceVersion },
		(type, object) => resolve(`${type} ${object.metadata.name}`),
		(error) => reject(error ?? new Error('The watch ended without an event')),
	);
	try {
		return await promise;
	} finally {
		clearTimeout(timer);
		stop.abort();
	}
}

async function kindFacts<T>(config: KubeConfig, name: string, calls: Calls<T>): Promise<KindFacts> {
	const value = (object: T) => calls.values(object)['value']!;
	const nameOf = (object: T) => (object as { metadata?: { name?: string } }).metadata?.name;
	const since = (await calls.list()).metadata!.resourceVersion!;
	const created = value(await calls.create(calls.made));
	const watched = await firstEvent(config, calls.path, since);
	const listed = (await calls.list()).items.some((item) => nameOf(item) === name);
	const [changed, stale] = [await calls.read(), await calls.read()];
	calls.values(changed)['value'] = 'two';
	const updated = value(await calls.replace(changed));
	const conflict = await codeOf(calls.replace(stale));
	const patched = value(await calls.patch('three'));
	await calls.delete();
	return { created, watched, listed, updated, conflict, patched, deleted: await codeOf(calls.read()) };
}

export const clientNode: Client = {
	async facts(kubeconfig, name) {
		const config = new KubeConfig();
		config.loadFromFile(kubeconfig);
		const api = config.makeApiClient(CoreV1Api);
		const { gitVersion } = await config.makeApiClient(VersionApi).getCode();
		return {
			version: gitVersion,
			ConfigMap: await kindFacts(config, name, configMaps(api, name)),
			Service: await kindFacts(config, name, services(api, name)),
		};
	},
	async rights(account, environment) {
		const config = new KubeConfig();
		for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
		config.loadFromCluster(account.slice(0, -ACCOUNT.length));
		vi.unstubAllEnvs();
		const api = config.makeApiClient(CoreV1Api);
		const spec = { containers: [{ name: 'main', image: 'none' }] };
		const body = { metadata: { name: 'refused' }, spec };
		return {
			listPods: await codeOf(api.listNamespacedPod({ namespace })),
			createPod: await codeOf(api.createNamespacedPod({ namespace, body })),
			listSecrets: await codeOf(api.listNamespacedSecret({ namespace })),
		};
	},
};
