import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { EndpointSlice, Pod, Service } from '../../standalone/port.ts';
import { createTestCluster, service, type TestCluster } from './controller-cluster.ts';

const LABELS = ['red', 'green', 'blue'];
const NAMES = ['a', 'b', 'c', 'd', 'e'];

type Step = (cluster: TestCluster) => void;

const pick = <T>(values: readonly T[]) => fc.constantFrom(...values);

/** Random actions of users and nodes. */
const step: fc.Arbitrary<Step> = fc.oneof(
	fc
		.tuple(pick(NAMES), pick(LABELS), pick([8080, 9090]))
		.map(([name, app, port]) => (cluster: TestCluster) => {
			const old = cluster.api.get('pods', 'default', name);
			if (!old) cluster.api.create('pods', pod(name, app, port));
			else cluster.api.update('pods', { ...old, metadata: { ...old.metadata, labels: { app } } });
		}),
	pick(NAMES).map((name) => (cluster: TestCluster) => {
		if (cluster.api.get('pods', 'default', name)) cluster.api.delete('pods', 'default', name);
	}),
	fc.tuple(pick(NAMES), fc.boolean()).map(([name, ready]) => (cluster: TestCluster) => {
		const found = cluster.api.get('pods', 'default', name);
		if (found?.status?.podIP) cluster.setReady(found, ready);
	}),
	fc.boolean().map((ready) => (cluster: TestCluster) => void cluster.kubelet(ready)),
	fc
		.tuple(
			pick(LABELS),
			pick(LABELS),
			fc.boolean(),
			pick([8080, 'web']),
			pick(['SingleStack', 'RequireDualStack']),
		)
		.map(([name, app, publishNotReadyAddresses, targetPort, ipFamilyPolicy]) => (cluster: TestCluster) => {
			const spec = {
				selector: { app },
				publishNotReadyAddresses,
				ipFamilyPolicy,
				ports: [{ name: 'http', port: 80, targetPort }],
			};
			const old = cluster.api.get('services', 'default', name);
			if (!old) cluster.api.create('services', service(name, spec));
			else if (ipFamilyPolicy === old.spec.ipFamilyPolicy)
				cluster.api.update('services', { ...old, spec: { ...old.spec, ...spec } });
			else cluster.api.delete('services', 'default', name);
		}),
);

function pod(name: string, app: string, containerPort: number): Pod {
	const ports = [{ name: 'web', containerPort }];
	return {
		metadata: { name, namespace: 'default', labels: { app } },
		spec: { containers: [{ name: 'c', image: 'i', ports }] },
	};
}

/** `ip:port ready|not` for each address of the Endpoints. */
function fromEndpoints(cluster: TestCluster, name: string): string[] {
	const lines: string[] = [];
	for (const { addresses = [], notReadyAddresses = [], ports } of cluster.api.get(
		'endpoints',
		'default',
		name,
	)!.subsets ?? [])
		for (const { port } of ports!) {
			for (const { ip } of addresses) lines.push(`${ip}:${port} ready`);
			for (const { ip } of notReadyAddresses) lines.push(`${ip}:${port} not`);
		}
	return lines.sort();
}

/** The same lines from the slices of the Endpoints' family, without terminating pods. */
function fromSlices(cluster: TestCluster, svc: Service): string[] {
	const lines: string[] = [];
	for (const slice of slicesOf(cluster, svc.metadata.name))
		for (const { addresses, conditions } of slice.addressType === svc.spec.ipFamilies![0]
			? slice.endpoints!
			: [])
			for (const { port } of slice.ports!)
				if (!conditions!.terminating || svc.spec.publishNotReadyAddresses)
					lines.push(`${addresses[0]}:${port} ${conditions!.ready ? 'ready' : 'not'}`);
	return lines.sort();
}

function slicesOf(cluster: TestCluster, name: string): EndpointSlice[] {
	return cluster.api
		.list('endpointslices', 'default')
		.filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name);
}

/** The lines that rule B R-9 requires, derived from the pods alone. */
function expected(cluster: TestCluster, svc: Service): string[] {
	const lines: string[] = [];
	for (const { metadata, spec, status } of cluster.api.list('pods', 'default')) {
		const publish = svc.spec.publishNotReadyAddresses;
		if (metadata.labels!['app'] !== svc.spec.selector!['app'] || !status?.podIP) continue;
		if (metadata.deletionTimestamp && !publish) continue;
		const ready = status.conditions!.some((c) => c.type === 'Ready' && c.status === 'True');
		const target = svc.spec.ports![0]!.targetPort;
		const port = target === 'web' ? spec.containers[0]!.ports![0]!.containerPort : target;
		lines.push(`${status.podIP}:${port} ${ready || publish ? 'ready' : 'not'}`);
	}
	return lines.sort();
}

it('Endpoints and EndpointSlices agree with the pods and each other after any history (R-A2)', async () => {
	await fc.assert(
		fc.asyncProperty(fc.array(fc.tuple(step, fc.boolean()), { maxLength: 40 }), async (steps) => {
			const cluster = createTestCluster();
			try {
				cluster.addNode('node1');
				for (const [act, settle] of steps) {
					act(cluster);
					if (settle) await cluster.settle();
				}
				await cluster.settle();
				for (const svc of cluster.api.list('services', 'default')) {
					if (!svc.spec.selector) continue;
					const wanted = expected(cluster, svc);
					expect(fromEndpoints(cluster, svc.metadata.name)).toEqual(wanted);
					expect(fromSlices(cluster, svc)).toEqual(wanted);
					const families = slicesOf(cluster, svc.metadata.name).map(({ addressType }) => addressType);
					expect([...new Set(families)].sort()).toEqual(svc.spec.ipFamilies);
				}
				for (const slice of cluster.api.list('endpointslices', 'default')) {
					const owner = slice.metadata.labels!['kubernetes.io/service-name']!;
					expect(cluster.api.get('services', 'default', owner)).toBeDefined();
				}
			} finally {
				cluster.stop();
			}
		}),
		{ numRuns: 60 },
	);
});
