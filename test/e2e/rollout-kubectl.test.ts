import pino from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startControllers } from '../../standalone/controllers/start.ts';
import { NodeManager } from '../../standalone/node/node-manager.ts';
import { nodeObject } from '../../standalone/node/node-object.ts';
import { hasKubectl, type Kubectl, openKubectl } from './support/kubectl-server.ts';
import { eventually } from './support/wait.ts';

const present = hasKubectl();
const NODES = 2;
const IMAGE = 'registry.k8s.io/e2e-test-images/agnhost';

let cluster: Kubectl;
let manager: NodeManager;
const stopping = new AbortController();
const ok: Kubectl['ok'] = (...line) => cluster.ok(...line);

/** Runs the control plane in this process. It marks pods ready without running them. */
beforeAll(async () => {
	cluster = await openKubectl();
	const log = pino({ level: 'silent' });
	const { objects } = cluster.api;
	startControllers(objects, { log }, stopping.signal);
	manager = new NodeManager({
		objects,
		prefix: 'e2erollout',
		nodes: NODES,
		families: ['v4', 'v6'],
		switcher: undefined,
		server: undefined,
		cgroupOf: () => undefined,
		dns: { zone: 'cluster.local', nameservers: [] },
		podDirectory: cluster.folder,
		logDirectory: cluster.folder,
		serviceAccount: async () => undefined,
		log,
	});
	manager.start();
	const now = `${new Date().toISOString().slice(0, 19)}Z`;
	for (let node = 1; node <= NODES; node++)
		objects.create('nodes', nodeObject(node, 'zone-a', ['v4', 'v6'], now));
});

afterAll(async () => {
	stopping.abort();
	await manager.stop();
	await cluster.close();
});

const MANIFESTS: Record<string, string> = {
	deployment: `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: "${IMAGE}:2.53", args: [netexec], ports: [{containerPort: 8080}]}]
`,
	statefulset: `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  replicas: 2
  serviceName: web
  selector: {matchLabels: {app: web-set}}
  template:
    metadata: {labels: {app: web-set}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: "${IMAGE}:2.53", args: [netexec], ports: [{containerPort: 8080}]}]
`,
	daemonset: `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web-daemon}}
  template:
    metadata: {labels: {app: web-daemon}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: "${IMAGE}:2.53", args: [netexec], ports: [{containerPort: 8080}]}]
`,
};
const LABEL: Record<string, string> = { deployment: 'web', statefulset: 'web-set', daemonset: 'web-daemon' };

const images = async (kind: string) => {
	const path = '{range .items[*]}{.spec.containers[0].image}{"\\n"}{end}';
	const lines = await ok(`get pods -l app=${LABEL[kind]} -o 'jsonpath=${path}'`);
	return [...new Set(lines.trim().split('\n'))];
};

describe.each(['deployment', 'statefulset', 'daemonset'])(
	'kubectl rollout of a %s',
	{ skip: !present },
	(kind) => {
		test('status waits until every pod is of the new template', async () => {
			await ok('apply -f -', MANIFESTS[kind]);
			expect(await ok(`rollout status ${kind}/web --timeout=20s`)).toMatch(/rolled out|complete/);
			await ok(`set image ${kind}/web web=${IMAGE}:2.54`);
			expect(await ok(`rollout status ${kind}/web --timeout=20s`)).toMatch(/rolled out|complete/);
			expect(await images(kind)).toEqual([`${IMAGE}:2.54`]);
		});

		test('history lists the revisions and shows one', async () => {
			const history = await ok(`rollout history ${kind}/web`);
			expect(history).toMatch(/^1 +<none>\n2 +<none>$/m);
			expect(await ok(`rollout history ${kind}/web --revision=1`)).toContain(`${IMAGE}:2.53`);
		});

		test('undo goes back, and to a revision', async () => {
			expect(await ok(`rollout undo ${kind}/web`)).toContain('rolled back');
			await ok(`rollout status ${kind}/web --timeout=20s`);
			expect(await images(kind)).toEqual([`${IMAGE}:2.53`]);
			expect(await ok(`rollout undo ${kind}/web --to-revision=2`)).toContain('rolled back');
			await ok(`rollout status ${kind}/web --timeout=20s`);
			expect(await images(kind)).toEqual([`${IMAGE}:2.54`]);
			expect(await ok(`rollout history ${kind}/web`)).toMatch(/^3 .*\n4 .*$/m);
		});

		test('restart replaces every pod', async () => {
			const names = async () =>
				(await ok(`get pods -l app=${LABEL[kind]} -o 'jsonpath={.items[*].metadata.uid}'`)).split(' ');
			const before = await names();
			await ok(`rollout restart ${kind}/web`);
			await ok(`rollout status ${kind}/web --timeout=20s`);
			const after = await eventually('only new pods are left', async () => {
				const uids = await names();
				return uids.some((uid) => before.includes(uid)) ? undefined : uids;
			});
			expect(after.value).toHaveLength(before.length);
		});
	},
);

describe('kubectl and what rolls', { skip: !present }, () => {
	test('pause holds a rollout, resume lets it go on', async () => {
		await ok('rollout pause deployment/web');
		await ok(`set image deployment/web web=${IMAGE}:2.55`);
		await ok(
			'wait --for=jsonpath={.status.conditions[?(@.type=="Progressing")].reason}=DeploymentPaused deployment/web --timeout=10s',
		);
		await ok('scale deployment/web --replicas=4');
		await ok('wait --for=jsonpath={.status.readyReplicas}=4 deployment/web --timeout=10s');
		expect(await images('deployment')).toEqual([`${IMAGE}:2.54`]);
		await ok('rollout resume deployment/web');
		await ok('rollout status deployment/web --timeout=20s');
		expect(await images('deployment')).toEqual([`${IMAGE}:2.55`]);
	});

	test('status says that a rollout is late', async () => {
		await ok(
			`patch deployment web -p '{"spec":{"progressDeadlineSeconds":1,"template":{"spec":{"nodeSelector":{"no":"node"}}}}}'`,
		);
		const { code, err } = await cluster.run('rollout status deployment/web --timeout=20s');
		expect([code, err]).toEqual([1, 'error: deployment "web" exceeded its progress deadline\n']);
		await ok('rollout undo deployment/web');
		await ok('rollout status deployment/web --timeout=20s');
	});

	test('describe and events tell what happened', async () => {
		expect(await ok('describe deployment web')).toMatch(
			/ScalingReplicaSet.*deployment-controller +Scaled up replica set web-/,
		);
		const set = (await ok('get rs -l app=web -o name')).split('\n')[0]!;
		expect(await ok(`describe ${set}`)).toMatch(/SuccessfulCreate.*replicaset-controller +Created pod: web-/);
		const pod = (await ok('get pods -l app=web -o name')).split('\n')[0]!;
		expect(await ok(`describe ${pod}`)).toMatch(
			/Scheduled.*default-scheduler +Successfully assigned default\/web-/,
		);
		expect(await ok('events --for statefulset/web')).toMatch(
			/SuccessfulCreate +StatefulSet\/web +create Pod web-0 in StatefulSet web successful/,
		);
	});

	test('get controllerrevisions tells whose they are', async () => {
		const listed = await ok('get controllerrevisions --sort-by=.revision');
		for (const owner of ['statefulset', 'daemonset'])
			expect(listed).toMatch(new RegExp(`^web-\\w+ +${owner}\\.apps/web +[1-9]`, 'm'));
	});

	test('delete takes everything along, --cascade=orphan nothing, --cascade=foreground waits', async () => {
		const left = async (app: string) =>
			(await ok(`get rs,pods,controllerrevisions -l app=${app} -o name`)).trim();
		const uids = () => ok('get pods -l app=web --sort-by=.metadata.uid -o jsonpath={.items[*].metadata.uid}');
		await ok('delete deployment web');
		await ok('apply -f -', MANIFESTS['deployment']);
		await ok('rollout status deployment/web --timeout=20s');
		const before = await uids();
		await ok('delete deployment web --cascade=orphan');
		await ok('apply -f -', MANIFESTS['deployment']);
		await ok('rollout status deployment/web --timeout=20s');
		expect(await uids()).toBe(before);
		await ok('delete deployment web --cascade=foreground --timeout=20s');
		expect(await left('web')).toBe('');
		await ok('delete statefulset,daemonset web');
		for (const app of ['web-set', 'web-daemon'])
			await eventually(`nothing of ${app} is left`, async () =>
				(await left(app)) === '' ? true : undefined,
			);
	});
});
