import { expect, test } from 'vitest';
import { containerEnv, expand } from '../../standalone/node/env.ts';
import { launchOf, planWorkload, servicePorts } from '../../standalone/node/workload.ts';
import type { Pod, Service } from '../../standalone/port.ts';

type Container = Pod['spec']['containers'][number];
type ServiceSpec = Service['spec'];

const host = {
	podIPs: ['10.244.1.2', 'fd00:244:1::2'],
	hostIPs: ['192.168.10.11', 'fd00:10::11'],
};
const resolve = (program: string) => (program === 'python3' ? '/usr/bin/python3' : undefined);

const podOf = (...containers: Partial<Container>[]): Pod => ({
	metadata: { name: 'web-1', namespace: 'shop', uid: 'u1', labels: { app: 'web', tier: 'front' } },
	spec: {
		nodeName: 'node1',
		containers: containers.map((container, i) => ({ name: `c${i}`, ...container })),
	},
});
const portsOf = (pod: Pod) =>
	planWorkload(pod, resolve).ports.map(({ protocol, port }) => `${protocol}/${port}`);

test.each([
	[
		'declared ports of any image',
		{ image: 'nginx', ports: [{ containerPort: 80 }, { containerPort: 53, protocol: 'UDP' }] },
		['TCP/80', 'UDP/53'],
	],
	['nothing for an image without ports', { image: 'nginx' }, []],
	['nothing for SCTP', { image: 'x', ports: [{ containerPort: 9, protocol: 'SCTP' }] }, []],
	[
		'netexec by its defaults',
		{ image: 'registry.k8s.io/e2e-test-images/agnhost:2.53', args: ['netexec'] },
		['TCP/8080', 'UDP/8081'],
	],
	[
		'netexec by its flags',
		{ image: 'agnhost', args: ['netexec', '--http-port=80', '--udp-port', '81'] },
		['TCP/80', 'UDP/81'],
	],
	['netexec without UDP', { image: 'agnhost', args: ['netexec', '--udp-port=-1'] }, ['TCP/8080']],
	['serve-hostname', { image: 'agnhost:2', args: ['serve-hostname', '--port', '9000'] }, ['TCP/9000']],
	[
		'serve-hostname by the command',
		{ image: 'x/agnhost@sha256:1', command: ['/agnhost', 'serve-hostname'] },
		['TCP/9376'],
	],
	[
		'serve-hostname on UDP',
		{ image: 'agnhost', args: ['serve-hostname', '--udp', '--http=false'] },
		['UDP/9376'],
	],
	['agnhost pause', { image: 'agnhost', args: ['pause'], ports: [{ containerPort: 7 }] }, ['TCP/7']],
])('planWorkload() opens %s', (_what, container, ports) => {
	expect(portsOf(podOf(container))).toEqual(ports);
});

test('planWorkload() runs a program that is on the machine, with its environment', () => {
	const pod = podOf({
		image: 'python',
		command: ['python3', '-m', 'http.server'],
		args: ['$(PORT)', '--bind', '$$(PORT)'],
		workingDir: '/srv',
		env: [{ name: 'PORT', value: '80' }],
		ports: [{ containerPort: 80 }],
	});
	const { ports, servicePortsOf, containers } = planWorkload(pod, resolve);
	expect(ports).toEqual([]);
	expect(servicePortsOf).toBeUndefined();
	expect(launchOf(pod, containers[0]!, host)).toMatchObject({
		argv: ['/usr/bin/python3', '-m', 'http.server', '80', '--bind', '$(PORT)'],
		cwd: '/srv',
		env: { PORT: '80' },
	});
});

test('planWorkload() falls back to the built-in server for a program that is not there, and says so', () => {
	const plan = planWorkload(podOf({ command: ['/src/server'], ports: [{ containerPort: 5 }] }), resolve);
	expect(plan.containers).toMatchObject([{ name: 'c0', role: 'main', program: undefined }]);
	expect(plan.ports).toEqual([{ protocol: 'TCP', port: 5, container: 'c0' }]);
	expect(plan.notes).toEqual([
		'Container c0: /src/server is not on this machine, the built-in server answers instead',
	]);
});

test('planWorkload() takes arguments that begin with a program of the machine for the command', () => {
	const words = (container: Partial<Container>) => planWorkload(podOf(container), resolve).containers[0]!;
	expect(words({ args: ['python3', '-V'] })).toMatchObject({ program: '/usr/bin/python3', words: ['-V'] });
	expect(words({ args: ['serve', 'python3'] }).program).toBeUndefined();
	const shell = planWorkload(podOf({ stdin: true, tty: true }), () => '/bin/sh').containers[0]!;
	expect(shell.program).toBe('/bin/sh');
});

test('planWorkload() says which volumes a program does not find', () => {
	const volumeMounts = [{ name: 'data', mountPath: '/data' }];
	expect(planWorkload(podOf({ command: ['python3'], volumeMounts }), resolve).notes).toEqual([
		'Container c0: volume data is not mounted at /data',
	]);
	expect(planWorkload(podOf({ image: 'nginx', volumeMounts }), resolve).notes).toEqual([]);
});

test('planWorkload() takes init containers without a program here as done, and sidecars as they are', () => {
	const pod = podOf({ image: 'nginx' });
	pod.spec.initContainers = [
		{ name: 'init', image: 'busybox' },
		{ name: 'sidecar', image: 'proxy', restartPolicy: 'Always', ports: [{ containerPort: 15_000 }] },
	];
	const { containers, notes, ports } = planWorkload(pod, resolve);
	expect(containers.map(({ name, role }) => `${name} ${role}`)).toEqual([
		'init init',
		'sidecar sidecar',
		'c0 main',
	]);
	expect(notes).toEqual(['Init container init is taken as done: the image busybox is not here']);
	expect(ports).toEqual([{ protocol: 'TCP', port: 15_000, container: 'sidecar' }]);
});

test('planWorkload() opens Service ports only where the image does not say what it serves', () => {
	const opens = (container: Partial<Container>) => planWorkload(podOf(container), resolve).servicePortsOf;
	expect(opens({ image: 'nginx' })).toBe('c0');
	expect(opens({ image: 'agnhost', args: ['netexec'] })).toBeUndefined();
});

test('planWorkload() lets agnhost linger as --delay-shutdown says', () => {
	const linger = (args: string[]) => planWorkload(podOf({ image: 'agnhost', args }), resolve).lingerSeconds;
	expect(linger(['netexec', '--delay-shutdown=100'])).toBe(100);
	expect(linger(['netexec'])).toBe(2);
});

test('servicePorts() gives number targetPorts of Services that select the pod', () => {
	const service = (
		namespace: string,
		selector: ServiceSpec['selector'],
		ports: NonNullable<ServiceSpec['ports']>,
	): Service => ({
		metadata: { name: 's', namespace },
		spec: { ...(selector && { selector }), ports },
	});
	const services = [
		service('shop', { app: 'web' }, [
			{ port: 80, targetPort: 8080 },
			{ port: 81 },
			{ port: 82, targetPort: 'http' },
		]),
		service('shop', { app: 'web', tier: 'front' }, [
			{ port: 53, protocol: 'UDP' },
			{ port: 1, protocol: 'SCTP' },
		]),
		service('shop', { app: 'other' }, [{ port: 90 }]),
		service('shop', undefined, [{ port: 91 }]),
		service('elsewhere', { app: 'web' }, [{ port: 92 }]),
	];
	const ports = servicePorts(podOf({ image: 'x' }), services, 'c0');
	expect(ports.map(({ protocol, port }) => `${protocol}/${port}`)).toEqual(['TCP/8080', 'TCP/81', 'UDP/53']);
});

test('containerEnv() fills in what the pod says of itself', () => {
	const from = (fieldPath: string) => ({ name: fieldPath, valueFrom: { fieldRef: { fieldPath } } });
	const env = containerEnv(
		podOf({}),
		{
			env: [
				from('metadata.name'),
				from('metadata.namespace'),
				from('status.podIP'),
				from('status.podIPs'),
				from('spec.nodeName'),
				from("metadata.labels['app']"),
				{ name: 'A', value: 'a' },
				{ name: 'B', value: '$(A)$(MISSING)' },
				{ name: 'C', valueFrom: { configMapKeyRef: { name: 'none', key: 'k', optional: true } } },
			],
		},
		host,
	);
	expect(env).toMatchObject({
		HOSTNAME: 'web-1',
		'metadata.name': 'web-1',
		'metadata.namespace': 'shop',
		'status.podIP': '10.244.1.2',
		'status.podIPs': '10.244.1.2,fd00:244:1::2',
		'spec.nodeName': 'node1',
		"metadata.labels['app']": 'web',
		B: 'a$(MISSING)',
	});
	expect(env).not.toHaveProperty('C');
	expect(expand('$$(A) $(A) $A $$', { A: '1' })).toBe('$(A) 1 $A $');
});
