import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Api } from '../../standalone/api/index.ts';
import { hasKubectl, type Kubectl, openKubectl } from './support/kubectl-server.ts';

const present = hasKubectl();

let cluster: Kubectl;
let api: Api;
let folder: string;
beforeEach(async () => {
	cluster = await openKubectl();
	({ api, folder } = cluster);
});
afterEach(() => cluster.close());

const kubectl: Kubectl['run'] = (...line) => cluster.run(...line);
const ok: Kubectl['ok'] = (...line) => cluster.ok(...line);

const MANIFEST = `
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "example/web:1", ports: [{containerPort: 8080}], env: [{name: A, value: "1"}]}]
`;

const object = <R extends string>(resource: R, name: string) => api.objects.get(resource, 'default', name);

describe('kubectl', { skip: !present }, () => {
	test('apply creates, then leaves alone, then changes what changed', async () => {
		expect(await ok('apply -f -', MANIFEST)).toBe('service/web created\ndeployment.apps/web created\n');
		const { revision } = api.objects.store;
		expect(await ok('apply -f -', MANIFEST)).toBe('service/web unchanged\ndeployment.apps/web unchanged\n');
		expect(api.objects.store.revision).toBe(revision);
		const before = object('services', 'web')!.spec;
		const changed = MANIFEST.replace('targetPort: 8080', 'targetPort: 9090').replace(
			'value: "1"',
			'value: "2"',
		);
		expect(await ok('apply -f -', changed)).toBe('service/web configured\ndeployment.apps/web configured\n');
		const { spec } = object('services', 'web')!;
		expect(spec.ports![0]).toEqual({ ...before.ports![0], targetPort: 9090 });
		expect(spec.clusterIPs).toEqual(before.clusterIPs);
		expect(object('deployments', 'web')!.spec.template.spec!.containers[0]).toMatchObject({
			image: 'example/web:1',
			env: [{ name: 'A', value: '2' }],
		});
		const fewer = changed.replace(', {name: dns, port: 53, protocol: UDP}', '');
		await ok('apply -f -', fewer);
		expect(object('services', 'web')!.spec.ports).toHaveLength(1);
		expect(await ok('delete -f -', fewer)).toBe('service "web" deleted\ndeployment.apps "web" deleted\n');
	});

	test('diff shows the change and makes none', async () => {
		await ok('apply -f -', MANIFEST);
		const { revision } = api.objects.store;
		const { code, out } = await kubectl('diff -f -', MANIFEST.replace('replicas: 2', 'replicas: 7'));
		expect(code).toBe(1);
		expect(out).toMatch(/^-\s+replicas: 2$/m);
		expect(out).toMatch(/^\+\s+replicas: 7$/m);
		expect(api.objects.store.revision).toBe(revision);
	});

	test('create deployment, scale, expose, set image, rollout restart', async () => {
		await ok('create deployment web --image=nginx --replicas=3 --port=80');
		expect(object('deployments', 'web')!.spec).toMatchObject({
			replicas: 3,
			selector: { matchLabels: { app: 'web' } },
		});
		await ok('scale deployment web --replicas=5');
		await ok('expose deployment web --type=NodePort --port=80');
		await ok('set image deployment/web nginx=nginx:2');
		await ok('rollout restart deployment web');
		const { spec } = object('deployments', 'web')!;
		expect(spec.replicas).toBe(5);
		expect(spec.template.spec!.containers[0]!.image).toBe('nginx:2');
		expect(spec.template.metadata!.annotations).toHaveProperty(['kubectl.kubernetes.io/restartedAt']);
		expect(object('services', 'web')!.spec).toMatchObject({ type: 'NodePort', selector: { app: 'web' } });
		expect(await ok('get deployment web -o wide')).toMatch(
			/NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR\nweb +0\/5 +0 +0 +\S+ +nginx +nginx:2 +app=web/,
		);
		expect(await ok('describe deployment web')).toContain('Replicas:               5 desired');
	});

	test('the typed creates, which send protobuf', async () => {
		await ok('create namespace n');
		await ok('create service clusterip a --tcp=80:8080 -n n');
		await ok('create service nodeport b --tcp=80 --node-port=30123');
		await ok('create service externalname c --external-name=example.org');
		await ok('create service loadbalancer d --tcp=443:8443');
		await ok('create configmap m --from-literal=k=v');
		await ok('create secret generic s --from-literal=k=v');
		await ok('create serviceaccount robot');
		expect(api.objects.get('services', 'n', 'a')!.spec.ports![0]).toMatchObject({
			port: 80,
			targetPort: 8080,
		});
		expect(object('services', 'b')!.spec.ports![0]).toMatchObject({ nodePort: 30123, targetPort: 80 });
		expect(object('services', 'c')!.spec).toMatchObject({
			type: 'ExternalName',
			externalName: 'example.org',
		});
		expect(object('configmaps', 'm')!.data).toEqual({ k: 'v' });
		expect(object('secrets', 's')!.data).toEqual({ k: 'dg==' });
		expect(object('serviceaccounts', 'robot')).toBeDefined();
		expect((await kubectl('create service nodeport e --tcp=80 --node-port=29999')).err).toContain(
			'provided port is not in the valid range',
		);
		await ok('delete namespace n');
		expect(api.objects.get('services', 'n', 'a')).toBeUndefined();
	});

	test('label, annotate and the three patches', async () => {
		await ok('apply -f -', MANIFEST);
		await ok('label service web tier=front');
		await ok('annotate service web note=hello');
		await ok(`patch service web -p '{"spec":{"ports":[{"port":80,"targetPort":81}]}}'`);
		await ok(`patch service web --type merge -p '{"metadata":{"labels":{"app":null}}}'`);
		await ok(
			`patch service web --type json -p '[{"op":"replace","path":"/spec/sessionAffinity","value":"ClientIP"}]'`,
		);
		const { metadata, spec } = object('services', 'web')!;
		expect(metadata.labels).toEqual({ tier: 'front' });
		expect(metadata.annotations).toMatchObject({ note: 'hello' });
		expect(spec.ports!.map((port) => port.targetPort)).toEqual([81, 53]);
		expect(spec.sessionAffinityConfig!.clientIP!.timeoutSeconds).toBe(10800);
		expect((await kubectl('apply --server-side -f -', MANIFEST)).err).toContain(
			'server-side apply is not supported',
		);
	});

	test('edit', async () => {
		await ok('apply -f -', MANIFEST);
		const out = await ok('edit service web', undefined, { KUBE_EDITOR: 'sed -i s/8080/8181/' });
		expect(out).toBe('service/web edited\n');
		expect(object('services', 'web')!.spec.ports![0]!.targetPort).toBe(8181);
	});

	test('get -w shows changes as they come, wait ends with the condition', async () => {
		await ok('apply -f -', MANIFEST);
		const watching = kubectl('get services --watch --request-timeout=3s');
		const waiting = ok('wait --for=jsonpath={.spec.replicas}=4 deployment/web --timeout=10s');
		await ok('scale deployment web --replicas=4');
		await ok('label service web tier=front');
		await ok('delete service web');
		expect(await waiting).toBe('deployment.apps/web condition met\n');
		const lines = (await watching).out.split('\n').filter((line) => line.startsWith('web '));
		expect(lines.length).toBeGreaterThanOrEqual(2);
	});

	test('delete by label, with all, and with each cascade', async () => {
		await ok('apply -f -', MANIFEST);
		const owner = object('deployments', 'web')!;
		const dependent = (name: string) =>
			api.objects.create('configmaps', {
				metadata: {
					name,
					namespace: 'default',
					ownerReferences: [
						{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: owner.metadata.uid! },
					],
				},
			});
		dependent('kept');
		await ok('delete deployment web --cascade=orphan');
		expect(object('configmaps', 'kept')).toBeDefined();
		await ok('apply -f -', MANIFEST);
		await ok('delete services -l app=web');
		expect(object('services', 'web')).toBeUndefined();
		await ok('delete deployment web --cascade=foreground');
		expect(object('deployments', 'web')).toBeUndefined();
		await ok('run p --image=nginx');
		await ok('delete pod p --now');
		await ok('delete all --all');
		expect(object('services', 'kubernetes')?.spec.clusterIP).toBe('10.96.0.1');
	});

	test('get, describe and explain print what kubectl users expect', async () => {
		await ok('apply -f -', MANIFEST);
		expect(await ok('get svc web -o wide')).toMatch(
			/^NAME +TYPE +CLUSTER-IP +EXTERNAL-IP +PORT\(S\) +AGE +SELECTOR\nweb +NodePort +10\.96\.\S+ +<none> +80:\d+\/TCP,53:\d+\/UDP +\d+s +app=web\n$/,
		);
		expect(await ok('get svc --field-selector metadata.name=web -o name')).toBe('service/web\n');
		expect(await ok('describe svc web')).toMatch(/IP Families: +IPv4,IPv6/);
		expect(await ok('explain service.spec.ports.nodePort')).toContain('FIELD: nodePort <integer>');
		expect(await ok('explain deployment.spec.strategy --recursive')).toContain('maxSurge');
		expect(await ok('api-resources --no-headers -o name')).toContain('deployments.apps\n');
		expect(await ok('version')).toContain('Server Version: v1.32');
		for (const kind of ['pods', 'nodes', 'endpoints', 'endpointslices', 'events', 'all'])
			expect((await kubectl(`get ${kind} -A -o wide`)).code, kind).toBe(0);
		expect((await kubectl('get svc nope')).err).toBe(
			'Error from server (NotFound): services "nope" not found\n',
		);
	});

	test('ServiceCIDRs, IPAddresses, scales and reviews are shown', async () => {
		await ok('apply -f -', MANIFEST);
		expect(await ok('get servicecidrs')).toMatch(
			/^NAME +CIDRS +AGE\nkubernetes +10\.96\.0\.0\/16,fd00:10:96::\/112 /,
		);
		expect(await ok('get ip 10.96.0.1')).toMatch(
			/^NAME +PARENTREF +AGE\n10\.96\.0\.1 +services\/default\/kubernetes /,
		);
		expect(await ok('describe servicecidr kubernetes')).toMatch(
			/CIDRs: +10\.96\.0\.0\/16, fd00:10:96::\/112/,
		);
		expect(await ok('describe ipaddress 10.96.0.1')).toMatch(/Resource: +services\n/);
		expect(await ok('explain servicecidr.spec.cidrs')).toContain('FIELD: cidrs <[]string>');
		expect(await ok('get deployment web --subresource=scale')).toMatch(
			/^NAME +DESIRED +AVAILABLE +AGE\nweb +2 +0 +\S+\n$/,
		);
		expect(await ok('auth can-i delete services')).toBe('yes\n');
		expect(await ok('auth whoami -o jsonpath={.status.userInfo.username}')).toBe('kubernetes-admin');
	});

	test('mistakes in a manifest are named', async () => {
		const unknown = await kubectl(
			'apply -f -',
			MANIFEST.replace('selector: {app: web}\n', 'selektor: {app: web}\n'),
		);
		expect(unknown.err).toContain('strict decoding error: unknown field "spec.selektor"');
		const bad = await kubectl('create -f -', MANIFEST.replace('port: 80,', 'port: 80000,'));
		expect(bad.err).toContain(
			'spec.ports[0].port: Invalid value: 80000: must be between 1 and 65535, inclusive',
		);
		const kind = await kubectl(
			'apply -f -',
			'{"apiVersion":"example.org/v1","kind":"Thing","metadata":{"name":"x"}}',
		);
		expect(kind.err).toContain('no matches for kind "Thing" in version "example.org/v1"');
	});

	test('dumped, deleted and created again is the same', async () => {
		await ok('apply -f -', MANIFEST);
		const dump = await ok('get svc,deployments -l app!=none -o yaml --field-selector metadata.name=web');
		const before = object('services', 'web')!.spec;
		await ok('delete svc/web deployment/web');
		writeFileSync(
			join(folder, 'dump.yaml'),
			dump.replaceAll(/^ +resourceVersion: .*$\n?/gm, '').replaceAll(/^ +uid: .*$\n?/gm, ''),
		);
		await ok(`create -f ${join(folder, 'dump.yaml')}`);
		expect(object('services', 'web')!.spec).toEqual(before);
		expect(readFileSync(join(folder, 'dump.yaml'), 'utf8')).toContain('kind: List');
	});
});
