import type { ObjectApi } from '../port.ts';

const NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system'];

/** `first` is the first usable ClusterIP of the primary family. */
export interface SeedOptions {
	first: string;
}

function withServiceAccounts(objects: ObjectApi): () => void {
	return objects.watch('namespaces', ({ type, object }) => {
		const namespace = object.metadata.name;
		if (type === 'DELETED' || object.metadata.deletionTimestamp) return;
		if (!objects.get('serviceaccounts', namespace, 'default'))
			objects.create('serviceaccounts', { metadata: { name: 'default', namespace } });
	});
}

/** What every cluster has from its start: namespaces with their service account, and default/kubernetes. */
export function seed(objects: ObjectApi, { first }: SeedOptions): () => void {
	for (const name of NAMESPACES) objects.create('namespaces', { metadata: { name } });
	const stop = withServiceAccounts(objects);
	objects.create('services', {
		metadata: {
			name: 'kubernetes',
			namespace: 'default',
			labels: { component: 'apiserver', provider: 'kubernetes' },
		},
		spec: {
			clusterIP: first,
			clusterIPs: [first],
			ipFamilyPolicy: 'SingleStack',
			ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: 6443 }],
		},
	});
	return stop;
}
