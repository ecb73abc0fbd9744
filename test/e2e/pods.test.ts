/**
 * Tests the ways to try a Service from a pod of the standalone cluster: exec, logs, environment,
 * names.
 */
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPty } from '../../agent/bpf/pty.ts';
import { Environment } from './support/environment.ts';
import { type Manifest, pod, SERVER_IMAGE, service } from './support/objects.ts';
import { startStandalone } from './support/standalone-cluster.ts';
import { eventually } from './support/wait.ts';

let env: Environment;
beforeAll(async () => {
	env = await Environment.open('pods', await startStandalone('e2epods'));
	await env.apply(
		service('early', { ports: [{ port: 8765, targetPort: 8080 }], selector: { app: 'server' } }),
		pod('server', { node: 'node1' }),
	);
	await env.apply(
		program('shell', { command: ['sh', '-c', SHELL], labels: { app: 'shell' } }),
		program('named', {
			command: ['sh', '-c', 'echo oops >&2; sleep 86400'],
			spec: { hostname: 'dns-querier-2', subdomain: 'dns-test-service-2' },
			labels: { app: 'named' },
		}),
	);
	await ready('server', 'shell', 'named');
});
afterAll(() => env?.[Symbol.asyncDispose]());

const SHELL = 'echo out; echo last; while read line; do echo "said $line"; done; sleep 86400';

interface ProgramOptions {
	command?: string[];
	container?: object;
	spec?: object;
	labels?: Record<string, string>;
}
/** A pod that runs one program of this machine. */
function program(name: string, options: ProgramOptions = {}): Manifest {
	const { command = ['sleep', '86400'], container = {}, spec = {}, labels = {} } = options;
	const main = { name: 'main', image: 'busybox', command, stdin: true, ...container };
	return {
		apiVersion: 'v1',
		kind: 'Pod',
		metadata: { name, labels },
		spec: { terminationGracePeriodSeconds: 0, containers: [main], ...spec },
	};
}
const ready = (...names: string[]) =>
	env.kubectl('wait', '--for=condition=Ready', '--timeout=30s', ...names.map((name) => `pod/${name}`));
const exec = (name: string, ...command: string[]) => env.kubectl('exec', name, '--', ...command);
const execShell = (name: string, script: string) => exec(name, 'sh', '-c', script);

interface Outcome {
	code: number | null;
	out: string;
	err: string;
}
/** Runs kubectl with an input. @returns its outcome with the exit status */
function kubectl(line: readonly string[], input = ''): Promise<Outcome> {
	const child = spawn('kubectl', ['--kubeconfig', env.driver.kubeconfig, '-n', env.namespace, ...line]);
	let out = '';
	let err = '';
	child.stdout.on('data', (chunk) => (out += chunk));
	child.stderr.on('data', (chunk) => (err += chunk));
	child.stdin.end(input);
	return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
}

const variables = async (name: string) => {
	const lines = (await exec(name, 'env')).trimEnd().split('\n');
	return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2))) as Record<string, string>;
};

test('a pod has the variables of a Service that was there before it (E-06)', async () => {
	const { spec } = await env.get('service', 'early');
	const host = spec.clusterIP;
	expect(await variables('shell')).toMatchObject({
		EARLY_SERVICE_HOST: host,
		EARLY_SERVICE_PORT: '8765',
		EARLY_PORT: `tcp://${host}:8765`,
		EARLY_PORT_8765_TCP: `tcp://${host}:8765`,
		EARLY_PORT_8765_TCP_PROTO: 'tcp',
		EARLY_PORT_8765_TCP_PORT: '8765',
		EARLY_PORT_8765_TCP_ADDR: host,
	});
});

test('a pod sees the master Service and no Service of another namespace (E-03, E R-2)', async () => {
	const other = `${env.namespace}-other`;
	await env.kubectl('create', 'namespace', other);
	await env.kubectl('-n', other, 'create', 'service', 'clusterip', 'foreign', '--tcp=80');
	await env.apply(program('lonely', { spec: { enableServiceLinks: false } }), program('linked'));
	await ready('lonely', 'linked');
	const linked = await variables('linked');
	expect(linked).toMatchObject({ KUBERNETES_SERVICE_PORT_HTTPS: '443', EARLY_SERVICE_PORT: '8765' });
	expect(linked).not.toHaveProperty('FOREIGN_SERVICE_HOST');
	const lonely = await variables('lonely');
	expect(lonely).toHaveProperty('KUBERNETES_SERVICE_HOST');
	expect(lonely).not.toHaveProperty('EARLY_SERVICE_HOST');
	await env.kubectl('delete', 'namespace', other, '--wait=false');
});

test('a Service that comes later is unknown to a pod and known to a new one (E-04)', async () => {
	await env.apply(service('late', { selector: { app: 'server' } }), program('newer'));
	await ready('newer');
	expect(await variables('shell')).not.toHaveProperty('LATE_SERVICE_HOST');
	expect(await variables('newer')).toHaveProperty('LATE_SERVICE_HOST');
});

test("variables of the container win over Services', from ConfigMaps and Secrets too (E-07)", async () => {
	await env.kubectl(
		'create',
		'configmap',
		'settings',
		'--from-literal=EARLY_SERVICE_PORT=1',
		'--from-literal=k=v',
	);
	await env.kubectl('create', 'secret', 'generic', 'hidden', '--from-literal=word=sesame');
	const container = {
		envFrom: [{ configMapRef: { name: 'settings' } }],
		env: [
			{ name: 'EARLY_SERVICE_HOST', value: 'mine' },
			{ name: 'URL', value: '$(EARLY_PORT)' },
			{ name: 'WORD', valueFrom: { secretKeyRef: { name: 'hidden', key: 'word' } } },
		],
	};
	await env.apply(program('own', { container }));
	await ready('own');
	const { spec } = await env.get('service', 'early');
	expect(await variables('own')).toMatchObject({
		EARLY_SERVICE_HOST: 'mine',
		EARLY_SERVICE_PORT: '1',
		k: 'v',
		WORD: 'sesame',
		URL: `tcp://${spec.clusterIP}:8765`,
	});
});

test('a container whose ConfigMap is missing waits for it and starts when it comes', async () => {
	await env.apply(program('waiting', { container: { envFrom: [{ configMapRef: { name: 'later' } }] } }));
	const state = async () => (await env.get('pod', 'waiting')).status?.containerStatuses?.[0].state.waiting;
	await eventually('it waits', async () => ((await state())?.reason ? true : undefined));
	expect(await state()).toEqual({
		reason: 'CreateContainerConfigError',
		message: 'configmap "later" not found',
	});
	await env.kubectl('create', 'configmap', 'later', '--from-literal=CAME=yes');
	await ready('waiting');
	expect(await variables('waiting')).toMatchObject({ CAME: 'yes' });
});

test('exec gives output, errors, the status and input', async () => {
	const both = await kubectl(['exec', 'shell', '--', 'sh', '-c', 'echo o; echo e >&2; exit 7']);
	expect(both).toMatchObject({ code: 7, out: 'o\n' });
	expect(both.err).toContain('e\n');
	const echoed = await kubectl(['exec', '-i', 'shell', '--', 'wc', '-c'], 'x'.repeat(300_000));
	expect(echoed).toMatchObject({ code: 0, out: '300000\n' });
	const large = await exec('shell', 'head', '-c', '5000000', '/dev/zero');
	expect(large).toHaveLength(5_000_000);
});

test.each([
	[['exec', 'shell', '--', 'no-such-program'], /no-such-program": executable file not found/],
	[['exec', 'shell', '-c', 'none', '--', 'true'], /container none is not valid for pod shell/],
	[['exec', 'none', '--', 'true'], /pods "none" not found/],
	[['logs', 'shell', '--previous'], /previous terminated container "main" in pod "shell" not found/],
])('kubectl %j says why not', async (line, message) => {
	const { code, err } = await kubectl(line);
	expect(code).not.toBe(0);
	expect(err).toMatch(message);
});

test('exec -it gives a terminal of the size of ours, and its keys', async () => {
	const { kubeconfig } = env.driver;
	const pty = openPty();
	let shown = '';
	pty.stream.on('data', (chunk) => (shown += chunk));
	pty.stream.on('error', () => {}); // the programs of the terminal have exited
	pty.resize(101, 37);
	const kube = `kubectl --kubeconfig ${kubeconfig} -n ${env.namespace} exec -it shell -- sh -c "tty; stty size; cat"`;
	const child = spawn('/bin/sh', ['-c', `exec 0<>${pty.path} 1>&0 2>&0; exec ${kube}`], {
		detached: true,
		stdio: 'ignore',
	});
	const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
	await eventually('the size is shown', async () => (shown.includes('37 101') ? true : undefined));
	expect(shown).toMatch(/^\/dev\/pts\/\d+\r\n/);
	pty.stream.write('hello\r');
	await eventually('cat echoes', async () => (/hello\r\nhello\r\n/.test(shown) ? true : undefined));
	pty.stream.write('\x03');
	expect(await ended).toBe(130);
});

test('cp copies a file there and back', async () => {
	const target = `/tmp/maglane-e2e-${process.pid}`;
	await env.kubectl('cp', import.meta.filename, `shell:${target}`);
	expect(await exec('shell', 'head', '-n', '2', target)).toContain('from a pod of the standalone cluster');
	await exec('shell', 'rm', target);
});

test('a Service is tried from inside a pod of the built-in server', async () => {
	const { spec } = await env.get('service', 'early');
	expect(await exec('server', 'curl', '-s', `http://${spec.clusterIP}:8765/hostname`)).toBe('server');
});

test('logs are those of the program, with times, tails and what follows; attach gives it input', async () => {
	expect(await env.kubectl('logs', 'shell')).toBe('out\nlast\n');
	expect(await env.kubectl('logs', 'shell', '--tail=1', '--timestamps')).toMatch(/^\d{4}-\S+Z last\n$/);
	expect(await env.kubectl('logs', 'named')).toBe('oops\n');
	const follow = spawn('kubectl', [
		...['--kubeconfig', env.driver.kubeconfig, '-n', env.namespace],
		...['logs', '-f', '--tail=1', 'shell'],
	]);
	let seen = '';
	follow.stdout.on('data', (chunk) => (seen += chunk));
	const attached = spawn('kubectl', [
		...['--kubeconfig', env.driver.kubeconfig, '-n', env.namespace],
		...['attach', '-i', 'shell'],
	]);
	let heard = '';
	attached.stdout.on('data', (chunk) => (heard += chunk));
	try {
		await eventually('it follows', async () => (seen === 'last\n' ? true : undefined));
		attached.stdin.write('hello\n');
		await eventually('the program has read', async () => (seen === 'last\nsaid hello\n' ? true : undefined));
		await eventually('who is attached sees it', async () =>
			heard.includes('said hello\n') ? true : undefined,
		);
	} finally {
		follow.kill();
		attached.kill();
	}
});

test('logs of the built-in server are its requests', async () => {
	await env.kubectl('exec', 'server', '--', 'curl', '-s', 'http://127.0.0.1:8080/echo?msg=hi');
	await eventually('the request is logged', async () => {
		const text = await env.kubectl('logs', 'server');
		return /^GET \/echo\?msg=hi 200 127\.0\.0\.1:\d+$/m.test(text) ? true : undefined;
	});
});

test('/etc/hosts has the addresses with the hostname and the name in the subdomain (A-111)', async () => {
	const { status } = await env.get('pod', 'named');
	const hosts = await exec('named', 'cat', '/etc/hosts');
	const full = `dns-querier-2.dns-test-service-2.${env.namespace}.svc.cluster.local`;
	for (const { ip } of status.podIPs) expect(hosts).toContain(`${ip}\t${full}\tdns-querier-2\n`);
	expect(status.podIPs).toHaveLength(2);
	const plain = await exec('shell', 'cat', '/etc/hosts');
	expect(plain).toContain(`${(await env.get('pod', 'shell')).status.podIP}\tshell\n`);
});

test('hostname is that of the pod, in exec too, and of nothing else', async () => {
	const full = `dns-querier-2.dns-test-service-2.${env.namespace}.svc.cluster.local`;
	expect(await execShell('named', 'hostname; hostname -f')).toBe(`dns-querier-2\n${full}\n`);
	expect(await exec('shell', 'hostname')).toBe('shell\n');
});

test.each([
	[
		'ClusterFirst',
		{},
		(ns: string) =>
			`search ${ns}.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n`,
	],
	[
		'None',
		{ dnsPolicy: 'None', dnsConfig: { nameservers: ['1.1.1.1'], searches: ['resolv.conf.local'] } },
		() => 'search resolv.conf.local\nnameserver 1.1.1.1\n',
	],
	[
		'ndots:2',
		{ dnsConfig: { options: [{ name: 'ndots', value: '2' }] } },
		(ns: string) =>
			`search ${ns}.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:2\n`,
	],
])('/etc/resolv.conf is that of dnsPolicy %s (A-116, A-117)', async (what, spec, expected) => {
	const name = `dns-${what
		.slice(0, 4)
		.toLowerCase()
		.replace(/[^a-z]/g, '')}`;
	await env.apply(program(name, { spec }));
	await ready(name);
	expect(await exec(name, 'cat', '/etc/resolv.conf')).toBe(expected(env.namespace));
});

test('a pod has its hostname in a headless Service by name, and says it itself (A-114)', async () => {
	const selector = { app: 'named' };
	await env.apply(service('dns-test-service-2', { clusterIP: 'None', selector, ports: [{ port: 80 }] }));
	const full = `dns-querier-2.dns-test-service-2.${env.namespace}.svc.cluster.local`;
	const { status } = await env.get('pod', 'named');
	await eventually('the name is known to other pods', async () => {
		const found = await execShell('shell', `getent ahostsv4 ${full} | head -n 1`);
		return found.startsWith(`${status.podIP} `) ? true : undefined;
	});
	// resolved only through the search list
	expect(await execShell('shell', 'getent ahostsv4 dns-querier-2.dns-test-service-2')).toContain(
		status.podIP,
	);
	expect(await exec('named', 'hostname', '-f')).toBe(`${full}\n`);
});

test('a Service is asked by its name from inside any pod', async () => {
	for (const name of ['shell', 'server'])
		await eventually(`${name} reaches it`, async () => {
			const answer = await exec(name, 'curl', '-s', 'http://early:8765/hostname');
			return answer === 'server' ? true : undefined;
		});
});

test('hostPort leads to the pod, by address and protocol, and the pod sees the client (R-A9)', async () => {
	const [{ v4 = '', v6 = '' } = {}] = env.nodes;
	const pinned = (name: string, port: object) => {
		const args = ['netexec', '--http-port=8080', '--udp-port=8081'];
		const container = { name: 'server', image: SERVER_IMAGE, args, ports: [port] };
		const selector = { nodeSelector: { 'kubernetes.io/hostname': 'node1' } };
		const grace = { terminationGracePeriodSeconds: 1 };
		return { ...program(name), spec: { ...selector, ...grace, containers: [container] } };
	};
	const port = { hostPort: 54_321, containerPort: 8080 };
	await env.apply(
		pinned('host-four', { ...port, hostIP: v4 }),
		pinned('host-six', { ...port, hostIP: v6 }),
		pinned('host-udp', { ...port, containerPort: 8081, protocol: 'UDP' }),
		pinned('host-lo', { ...port, hostIP: '127.0.0.1' }),
	);
	await ready('host-four', 'host-six', 'host-udp', 'host-lo');
	await env.reaches({ node: 'node1' }, { host: '127.0.0.1', port: 54_321 }, ['host-lo']);
	await env.reaches({ node: 'node1' }, { host: '127.0.0.1', port: 54_321, udp: true }, ['host-udp']);
	await env.fails({ node: 'node2' }, { host: '127.0.0.1', port: 54_321 });
	const own = 'curl -s -m 2 http://127.0.0.1:54321/hostname || echo refused';
	expect(await exec('shell', 'sh', '-c', own)).toBe('refused\n');
	for (const from of ['outside', { node: 'node1' }, { node: 'node2' }] as const) {
		await env.reaches(from, { host: v4, port: 54_321 }, ['host-four']);
		await env.reaches(from, { host: v6, port: 54_321 }, ['host-six']);
		await env.reaches(from, { host: v4, port: 54_321, udp: true }, ['host-udp']);
		await env.reaches(from, { host: v6, port: 54_321, udp: true }, ['host-udp']);
	}
	expect(await exec('shell', 'curl', '-s', `http://${v4}:54321/hostname`)).toBe('host-four');
	const outside = await env.prober('outside');
	const [seen] = await outside.http(v4, 54_321, '/clientip');
	expect(seen?.body).toMatch(/^192\.168\.10\.100:/);
	await env.kubectl('delete', 'pod', 'host-four');
	await env.fails('outside', { host: v4, port: 54_321 });
	await env.reaches('outside', { host: v6, port: 54_321 }, ['host-six']);
});

test('port-forward reaches a pod and a Service from the machine', async () => {
	const child = spawn('kubectl', [
		...['--kubeconfig', env.driver.kubeconfig, '-n', env.namespace],
		...['port-forward', 'svc/early', ':8765'],
	]);
	let said = '';
	child.stdout.on('data', (chunk) => (said += chunk));
	child.stderr.on('data', (chunk) => (said += chunk));
	try {
		const portOf = async (target: number) => {
			const line = new RegExp(`127\\.0\\.0\\.1:(\\d+) -> ${target}`);
			const what = `kubectl listens for ${target}`;
			return (await eventually(what, async () => line.exec(said)?.[1])).value;
		};
		const port = await portOf(8080);
		const get = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text();
		expect(await get('/hostname')).toBe('server');
		const names = await Promise.all(Array.from({ length: 20 }, () => get('/echo?msg=again')));
		expect(new Set(names)).toEqual(new Set(['again']));
		const large = 'x'.repeat(100_000);
		const posted = await fetch(`http://127.0.0.1:${port}/hostname`, { method: 'POST', body: large });
		expect(await posted.text()).toBe('server');
	} finally {
		child.kill();
	}
});
