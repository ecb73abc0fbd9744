import type { Service } from '../../standalone/port.ts';
import { deployment, service, type TestCluster } from './controller-cluster.ts';

export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
export const SERVICE_NAME = 'kubernetes.io/service-name';

/**
 * Views of objects for endpoint tests, in namespace default. The Service and its pods are named
 * `web` by default.
 */
export function viewsOf(cluster: () => TestCluster) {
	const slices = (name = 'web') =>
		cluster()
			.api.list('endpointslices', 'default')
			.filter(({ metadata }) => metadata.labels?.[SERVICE_NAME] === name);
	const endpoints = (name = 'web') => cluster().api.get('endpoints', 'default', name);
	const pods = () => cluster().api.list('pods', 'default');
	const ofFamily = (family: string) => slices().filter(({ addressType }) => addressType === family);
	const all = (family = 'IPv4') => ofFamily(family).flatMap((slice) => slice.endpoints!);
	const edit = (name: string, change: (object: Service) => void) => {
		const object = structuredClone(cluster().api.get('services', 'default', name)!);
		change(object);
		return cluster().api.update('services', object);
	};
	const serve = async (replicas: number, spec: Partial<Service['spec']> = {}) => {
		cluster().api.create('services', service('web', spec));
		cluster().api.create('deployments', deployment('web', replicas));
		await cluster().converge();
	};
	return { slices, endpoints, pods, ofFamily, all, edit, serve };
}
