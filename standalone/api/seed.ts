import { followAddresses } from '../alloc/ip-address.ts';
import { DEFAULT_NAME } from '../alloc/service-cidr.ts';
import type { ObjectApi, Service } from '../port.ts';

const NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system'];

export interface SeedOptions {
	/** The first usable ClusterIP of the primary family. */
	first: string;
	serviceCidrs: readonly string[];
}

function withServiceAccounts(objects: ObjectApi): () => void {
	return objects.watch('namespaces', ({ type, object }) => {
		const namespace = object.metadata.name;
		if (type === 'DELETED' || object.metadata.deletionTimestamp) return;
		if (!objects.get('serviceaccounts', namespace, 'default'))
			objects.create('serviceaccounts', { metadata: { name: 'default', namespace } });
	});
}

const LABELS = { component: 'apiserver', provider: 'kubernetes' };

const kubernetesService = ({ first }: SeedOptions): Service => ({
	metadata: { name: 'kubernetes', namespace: 'default', labels: LABELS },
	spec: {
		clusterIP: first,
		clusterIPs: [first],
		ipFamilyPolicy: 'SingleStack',
		ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: 6443 }],
	},
});

/**
 * Recreates default/kubernetes after its deletion, for example by `kubectl delete all --all`.
 * kube-apiserver does the same.
 */
function withKubernetes(objects: ObjectApi, options: SeedOptions): () => void {
	if (!objects.get('services', 'default', 'kubernetes'))
		objects.create('services', kubernetesService(options));
	return objects.watch('services', ({ type, object }) => {
		const { name, namespace } = object.metadata;
		if (type === 'DELETED' && name === 'kubernetes' && namespace === 'default')
			objects.create('services', kubernetesService(options));
	});
}

/**
 * Creates the initial objects of a cluster: namespaces with their service account, and
 * default/kubernetes.
 * @returns a function that stops the watches.
 */
export function seed(objects: ObjectApi, options: SeedOptions): () => void {
	for (const name of NAMESPACES)
		if (!objects.get('namespaces', undefined, name))
			objects.create('namespaces', { metadata: { name }, spec: {} });
	if (!objects.get('servicecidrs', undefined, DEFAULT_NAME))
		objects.create('servicecidrs', {
			metadata: { name: DEFAULT_NAME },
			spec: { cidrs: [...options.serviceCidrs] },
		});
	const stops = [followAddresses(objects), withServiceAccounts(objects), withKubernetes(objects, options)];
	return () => {
		for (const stop of stops) stop();
	};
}
