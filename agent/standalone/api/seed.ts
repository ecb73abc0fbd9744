import type { KubeObject, ObjectApi } from '../port.ts';

const NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system'];

export interface SeedOptions {
	/** The first usable ClusterIP of the primary family. */
	first: string;
	/** Where pods reach the API, if they can: the endpoint of default/kubernetes. */
	advertise?: { address: string; port: number } | undefined;
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

const kubernetesService = ({ first, advertise }: SeedOptions): KubeObject => ({
	metadata: { name: 'kubernetes', namespace: 'default', labels: LABELS },
	spec: {
		clusterIP: first,
		clusterIPs: [first],
		ipFamilyPolicy: 'SingleStack',
		ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: advertise?.port ?? 6443 }],
	},
});

/** The Service has no selector, so the API server keeps its endpoints itself, in both forms. */
function createEndpoints(objects: ObjectApi, { address, port }: { address: string; port: number }): void {
	const ports = [{ name: 'https', port, protocol: 'TCP' }];
	objects.create('endpoints', {
		metadata: {
			name: 'kubernetes',
			namespace: 'default',
			labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
		},
		subsets: [{ addresses: [{ ip: address }], ports }],
	});
	objects.create('endpointslices', {
		metadata: {
			name: 'kubernetes',
			namespace: 'default',
			labels: { 'kubernetes.io/service-name': 'kubernetes' },
		},
		addressType: address.includes(':') ? 'IPv6' : 'IPv4',
		endpoints: [{ addresses: [address], conditions: { ready: true } }],
		ports,
	});
}

/** `kubectl delete all --all` takes default/kubernetes along; every API server puts it back. */
function withKubernetes(objects: ObjectApi, options: SeedOptions): () => void {
	objects.create('services', kubernetesService(options));
	return objects.watch('services', ({ type, object }) => {
		const { name, namespace } = object.metadata;
		if (type === 'DELETED' && name === 'kubernetes' && namespace === 'default')
			objects.create('services', kubernetesService(options));
	});
}

/** What every cluster has from its start: namespaces with their service account, and default/kubernetes. */
export function seed(objects: ObjectApi, options: SeedOptions): () => void {
	for (const name of NAMESPACES) objects.create('namespaces', { metadata: { name } });
	const stops = [withServiceAccounts(objects), withKubernetes(objects, options)];
	if (options.advertise) createEndpoints(objects, options.advertise);
	return () => {
		for (const stop of stops) stop();
	};
}
