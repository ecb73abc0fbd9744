import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { down } from '../../standalone/cluster/down.ts';
import { cgroup2Mount } from '../../standalone/cluster/mounts.ts';
import { type ClusterOptions, DEFAULT_ZONES } from '../../standalone/cluster/options.ts';
import { pathsOf } from '../../standalone/cluster/paths.ts';
import { isAlive, readState } from '../../standalone/cluster/state.ts';
import { remains } from '../../standalone/cluster/sweep.ts';
import { findTarget } from '../../standalone/cluster/target.ts';
import { up } from '../../standalone/cluster/up.ts';
import { placedCommand } from '../../standalone/node/spawn.ts';

const execute = promisify(execFile);
const directory = mkdtempSync(join(tmpdir(), 'mln-'));
const paths = pathsOf(directory);
const options: ClusterOptions = {
	prefix: 'mln',
	nodes: 2,
	zones: DEFAULT_ZONES,
	families: ['v4', 'v6'],
	directory,
	port: 0,
	network: true,
	agents: false,
};
const agnhost = 'registry.k8s.io/e2e-test-images/agnhost:2.53';

const kubectl = async (...args: string[]) =>
	(await execute('kubectl', ['--kubeconfig', paths.kubeconfig, ...args])).stdout;

const apply = async (...objects: object[]) => {
	const child = execute('kubectl', ['--kubeconfig', paths.kubeconfig, 'apply', '-f', '-']);
	child.child.stdin?.end(objects.map((object) => JSON.stringify(object)).join('\n'));
	await child;
};

const podOf = (name: string, spec: object, labels: Record<string, string> = { app: name }) => ({
	apiVersion: 'v1',
	kind: 'Pod',
	metadata: { name, namespace: 'default', labels },
	spec,
});
const netexec = { name: 'server', image: agnhost, args: ['netexec', '--http-port=80', '--udp-port=81'] };
const web = (name: string, more: object = {}) => podOf(name, { containers: [netexec], ...more });

const inPlace = async (where: string, ...command: string[]) => {
	const state = readState(paths.state);
	const [program, args] = placedCommand(await findTarget(where, state!, directory), command);
	return (await execute(program, args, { timeout: 10_000 })).stdout;
};
const curl = (where: string, url: string) => inPlace(where, 'curl', '-gksS', '-m', '3', url);

interface PodStatus {
	phase: string;
	podIPs?: { ip: string }[];
	message?: string;
	conditions: { type: string; status: string }[];
	containerStatuses: { restartCount: number; state: { waiting?: { reason: string } } }[];
}
const statusOf = async (name: string): Promise<PodStatus> =>
	JSON.parse(await kubectl('get', 'pod', name, '-o', 'json')).status;
const ready = async (...names: string[]) =>
	kubectl('wait', '--for=condition=Ready', '--timeout=20s', ...names.map((name) => `pod/${name}`));
const isReady = async (name: string) =>
	(await statusOf(name)).conditions?.find(({ type }) => type === 'Ready')?.status;
const ipsOf = async (name: string) => (await statusOf(name)).podIPs!.map(({ ip }) => ip);
const namespaces = () => readdirSync('/run/netns').filter((name) => name.startsWith('mln-'));
const rootState = () =>
	['link', 'addr', 'route']
		.map((what) =>
			execFileSync('ip', ['-o', what])
				.toString()
				.replace(/\d+sec/g, ''),
		)
		.join();

let before = '';
beforeAll(async () => {
	await down(options);
	before = rootState();
	await up(options, () => {});
});
afterAll(async () => {
	await down(options);
	rmSync(directory, { recursive: true, force: true });
});

test('up() gives nodes with both families, a zone each, and leaves the root namespace as it is', async () => {
	const { items } = JSON.parse(await kubectl('get', 'nodes', '-o', 'json'));
	const facts = items.map(
		(node: {
			metadata: { name: string; labels: object };
			spec: object;
			status: { addresses: { type: string; address: string }[] };
		}) => [
			node.metadata.name,
			(node.metadata.labels as Record<string, string>)['topology.kubernetes.io/zone'],
			...node.status.addresses.filter(({ type }) => type === 'InternalIP').map(({ address }) => address),
		],
	);
	expect(facts).toEqual([
		['node1', 'zone-a', '192.168.10.11', 'fd00:10::11'],
		['node2', 'zone-b', '192.168.10.12', 'fd00:10::12'],
	]);
	expect(items[0].spec.podCIDRs).toEqual(['10.244.1.0/24', 'fd00:244:1::/64']);
	expect(rootState()).toBe(before);
	expect(await up(options, () => {})).toMatchObject({ already: true });
	await expect(up({ ...options, prefix: 'other' }, () => {})).rejects.toThrow(/in use by mln/);
	const elsewhere = { ...options, directory: join(directory, 'other') };
	await expect(up(elsewhere, () => {})).rejects.toThrow(/another state directory/);
});

test('the API answers in the nodes, over loopback and over their addresses', async () => {
	expect(await curl('node2', 'https://127.0.0.1:6443/version')).toContain('gitVersion');
	expect(await curl('client', 'https://[fd00:10::11]:6443/version')).toContain('gitVersion');
});

test('pods answer each other on both nodes, in both families, over TCP and UDP', async () => {
	const place = (name: string, nodeName: string) => web(name, { nodeName });
	await apply(place('a1', 'node1'), place('b1', 'node1'), place('c2', 'node2'));
	await ready('a1', 'b1', 'c2');
	for (const name of ['b1', 'c2']) {
		const [v4, v6] = await ipsOf(name);
		expect(await curl('a1', `http://${v4}/hostname`)).toBe(name);
		expect(await curl('node1', `http://[${v6}]/hostname`)).toBe(name);
		const udp = `echo -n hostname | nc -u -w1 ${v6} 81`;
		expect(await inPlace('a1', 'sh', '-c', `command -v nc >/dev/null && ${udp} || echo -n no-nc`)).toMatch(
			new RegExp(`^(${name}|no-nc)$`),
		);
	}
	const [a4] = await ipsOf('a1');
	const [c4] = await ipsOf('c2');
	expect(await curl('a1', `http://${c4}/clientip`)).toMatch(new RegExp(`^${a4}:\\d+$`));
	expect(await curl('node1', `http://${c4}/clientip`)).toMatch(/^192\.168\.10\.11:\d+$/);
	await kubectl('delete', 'pod', 'a1', 'b1', 'c2', '--grace-period=0', '--force');
});

test('exec runs in a cgroup of the pod below its node’s, the client outside of it', async () => {
	await apply(web('where', { nodeName: 'node2' }));
	await ready('where');
	const cgroupOf = async (where: string) =>
		(await inPlace(where, 'cat', '/proc/self/cgroup')).match(/^0::(.*)$/m)?.[1];
	// below the node's cgroup, named as a kubelet names it
	expect(await cgroupOf('where')).toMatch(/^\/mln\/node2\/exec\/pod[0-9a-f-]{36}$/);
	expect(await cgroupOf('node1')).toBe('/mln/node1');
	expect(await cgroupOf('client')).not.toContain('mln');
	await expect(inPlace('absent', 'true')).rejects.toThrow(/no pod default\/absent/);
	await kubectl('delete', 'pod', 'where', '--now');
});

test('a container with a command runs that program in the pod, and is ready when its probe says so', async () => {
	const container = {
		name: 'py',
		image: 'python',
		command: ['sh', '-c', 'sleep 0.5; exec python3 -m http.server "$PORT" --directory /proc/self/ns'],
		env: [{ name: 'PORT', value: '8000' }],
		readinessProbe: { httpGet: { port: 8000, path: '/' } },
	};
	await apply(podOf('py', { nodeName: 'node1', containers: [container] }));
	await expect.poll(async () => (await statusOf('py')).phase).toBe('Running');
	expect(await isReady('py')).toBe('False');
	await ready('py');
	const [v4] = await ipsOf('py');
	expect(await curl('node2', `http://${v4}:8000/`)).toContain('Directory listing');
	await kubectl('delete', 'pod', 'py', '--now');
	expect(execFileSync('sh', ['-c', 'pgrep -f "[h]ttp.server 8000" || true']).toString()).toBe('');
});

test('a program that ends is started again with back-off, Job-like pods come to their phase', async () => {
	const ending = (code: number) => [{ name: 'c', image: 'x', command: ['sh', '-c', `exit ${code}`] }];
	await apply(
		podOf('crash', { containers: ending(3) }),
		podOf('done', { restartPolicy: 'Never', containers: ending(0) }),
		podOf('failed', { restartPolicy: 'Never', containers: ending(1) }),
	);
	await expect.poll(async () => (await statusOf('done')).phase, { timeout: 5000 }).toBe('Succeeded');
	await expect.poll(async () => (await statusOf('failed')).phase, { timeout: 5000 }).toBe('Failed');
	const restarts = async () => (await statusOf('crash')).containerStatuses[0]?.restartCount;
	await expect.poll(restarts, { timeout: 5000 }).toBeGreaterThan(0);
	expect(await kubectl('get', 'pod', 'crash')).toMatch(/CrashLoopBackOff|Running/);
	await kubectl('delete', 'pod', 'crash', 'done', 'failed', '--now');
});

test('an image whose command is not on the machine is answered for, and the status says so', async () => {
	const container = { name: 'c', image: 'shop', command: ['/src/server'], ports: [{ containerPort: 8080 }] };
	await apply(podOf('absent-program', { containers: [container] }));
	await ready('absent-program');
	const { podIPs, message } = await statusOf('absent-program');
	expect(await curl('node1', `http://${podIPs![0]!.ip}:8080/hostname`)).toBe('absent-program');
	expect(message).toContain('/src/server is not on this machine');
	expect(await kubectl('describe', 'pod', 'absent-program')).toMatch(
		/Warning +NotAsAsked .*not on this machine/,
	);
	await kubectl('delete', 'pod', 'absent-program', '--now');
});

test('targetPorts of a Service that comes later are opened, though no container declares them', async () => {
	await apply(podOf('plain', { containers: [{ name: 'c', image: 'nginx' }] }));
	await ready('plain');
	const [v4] = await ipsOf('plain');
	await expect(curl('node1', `http://${v4}:8443/hostname`)).rejects.toThrow(
		/Connection refused|Failed to connect|connect to/,
	);
	await apply({
		apiVersion: 'v1',
		kind: 'Service',
		metadata: { name: 'plain' },
		spec: { selector: { app: 'plain' }, ports: [{ port: 80, targetPort: 8443 }] },
	});
	await expect.poll(() => curl('node1', `http://${v4}:8443/hostname`).catch(String)).toBe('plain');
	await kubectl('delete', 'pod/plain', 'service/plain', '--now');
});

test('a pod on the host network answers on the node, and says when its port is taken', async () => {
	await apply(
		web('host-a', { hostNetwork: true, nodeName: 'node1' }),
		web('host-b', { hostNetwork: true, nodeName: 'node1' }),
	);
	await ready('host-a', 'host-b');
	expect(await ipsOf('host-a')).toEqual(['192.168.10.11', 'fd00:10::11']);
	expect(await curl('client', 'http://[fd00:10::11]/hostname')).toBe('node1');
	expect(`${(await statusOf('host-a')).message}${(await statusOf('host-b')).message}`).toContain(
		'EADDRINUSE',
	);
	await kubectl('delete', 'pod', 'host-a', 'host-b', '--now');
});

test('an exec probe of agnhost and a readiness gate keep a pod from being ready', async () => {
	const never = { ...netexec, readinessProbe: { exec: { command: ['/bin/false'] } } };
	await apply(
		podOf('never', { nodeName: 'node1', containers: [never] }),
		web('gated', { readinessGates: [{ conditionType: 'test/gate' }] }),
	);
	await expect.poll(async () => (await statusOf('gated')).phase).toBe('Running');
	await expect.poll(async () => (await statusOf('never')).phase).toBe('Running');
	expect(await isReady('never')).toBe('False');
	expect(await isReady('gated')).toBe('False');
	expect(await curl('node1', `http://${(await ipsOf('never'))[0]}/hostname`)).toBe('never');
	const patch = JSON.stringify({ status: { conditions: [{ type: 'test/gate', status: 'True' }] } });
	await kubectl('patch', 'pod', 'gated', '--subresource=status', '--type=strategic', '-p', patch);
	await ready('gated');
	await kubectl('delete', 'pod', 'never', 'gated', '--now');
});

test('a deleted pod serves on while its endpoints go, then nothing of it is left', async () => {
	await apply(web('leaving', { nodeName: 'node1' }));
	await ready('leaving');
	const [v4] = await ipsOf('leaving');
	await kubectl('delete', 'pod', 'leaving', '--wait=false');
	expect(await curl('node2', `http://${v4}/hostname`)).toBe('leaving');
	expect(namespaces()).toContain('mln-default-leaving');
	await kubectl('wait', '--for=delete', 'pod/leaving', '--timeout=10s');
	expect(namespaces()).not.toContain('mln-default-leaving');
	expect(await inPlace('node1', 'ip', '-o', 'link')).not.toContain('veth');
});

test('pods whose names would share a namespace name get one each', async () => {
	await kubectl('create', 'namespace', 'default-x');
	const other = web('y');
	await apply(web('x-y', { nodeName: 'node1' }), {
		...other,
		metadata: { ...other.metadata, namespace: 'default-x' },
	});
	await ready('x-y');
	await kubectl('wait', '-n', 'default-x', '--for=condition=Ready', 'pod/y', '--timeout=10s');
	const own = namespaces().filter((name) => name.startsWith('mln-default-x-y'));
	expect(own).toHaveLength(2);
	await kubectl('delete', 'pod', 'x-y', '--now');
	await kubectl('delete', 'namespace', 'default-x');
	await expect.poll(() => namespaces().filter((name) => name.startsWith('mln-default-x'))).toEqual([]);
});

test('50 pods are ready in under 10 s and gone after their Deployment', async () => {
	const start = performance.now();
	await kubectl('create', 'deployment', 'many', '--image=nginx', '--port=80', '--replicas=50');
	await kubectl('wait', '--for=condition=Available', '--timeout=20s', 'deployment/many');
	await kubectl('rollout', 'status', 'deployment/many', '--timeout=20s');
	expect(performance.now() - start).toBeLessThan(10_000);
	expect(namespaces().filter((name) => name.startsWith('mln-default-many'))).toHaveLength(50);
	await kubectl('delete', 'deployment', 'many');
	await expect
		.poll(() => namespaces().filter((name) => name.startsWith('mln-default-many')), { timeout: 20_000 })
		.toEqual([]);
});

describe('down()', () => {
	test('leaves nothing after its control plane was killed', async () => {
		const sleeper = { name: 'c', image: 'x', command: ['sleep', '4242'] };
		await apply(web('left'), podOf('sleeper', { containers: [sleeper] }));
		await ready('left', 'sleeper');
		const { pid } = readState(paths.state)!;
		process.kill(pid, 'SIGKILL');
		const swept = await down(options);
		expect(swept.namespaces).toEqual(
			expect.arrayContaining(['mln-client', 'mln-node1', 'mln-node2', 'mln-default-left']),
		);
		expect(remains('mln')).toEqual([]);
		expect(namespaces()).toEqual([]);
		expect(existsSync(join(cgroup2Mount()!, 'mln'))).toBe(false);
		expect(readdirSync(directory)).toEqual(['logs']);
		expect(execFileSync('sh', ['-c', 'pgrep -f "[s]leep 4242" || true']).toString()).toBe('');
		expect(rootState()).toBe(before);
		expect(await down(options)).toMatchObject({ stopped: false, processes: 0, namespaces: [] });
	});

	test('stops a living control plane', async () => {
		await up(options, () => {});
		expect(await down(options)).toMatchObject({ stopped: true });
		expect(remains('mln')).toEqual([]);
	});
});

describe('up() after its control plane was killed', () => {
	const kill = async () => {
		const state = readState(paths.state)!;
		process.kill(state.pid, 'SIGKILL');
		await expect.poll(() => isAlive(state)).toBe(false);
	};
	const sleeper = { name: 'c', image: 'x', command: ['sleep', '4243'] };
	afterAll(() => down(options));

	test('goes on with its objects, and with the pods that ran on meanwhile', async () => {
		await up(options, () => {});
		const { port } = readState(paths.state)!;
		const once = { name: 'c', image: 'x', command: ['true'] };
		await apply(web('stays'), podOf('program', { containers: [sleeper] }), web('doomed'));
		await apply(podOf('done', { restartPolicy: 'Never', containers: [once] }));
		await ready('stays', 'program', 'doomed');
		await expect.poll(async () => (await statusOf('done')).phase).toBe('Succeeded');
		const done = await statusOf('done');
		const [address] = await ipsOf('stays');
		const status = await statusOf('stays');
		const flow = inPlace(
			'node1',
			'sh',
			'-c',
			`for i in $(seq 40); do curl -sf -m 1 http://${address}/hostname || exit 1; sleep 0.1; done`,
		);

		await kill();
		expect(await curl('node1', `http://${address}/hostname`)).toBe('stays');
		const steps: string[] = [];
		await up(options, (step) => steps.push(step));
		expect(steps[0]).toMatch(/Continuing with the objects in .*objects\.db/);
		expect(readState(paths.state)!.port).toBe(port);
		await flow;
		expect(await statusOf('stays')).toEqual(status);
		expect(await statusOf('done')).toEqual(done);
		await expect
			.poll(async () => (await statusOf('program')).containerStatuses[0]?.restartCount, { timeout: 10_000 })
			.toBe(1);
		expect(await ipsOf('program')).toHaveLength(2);
		await expect
			.poll(() => inPlace('program', 'pgrep', '-cf', '[s]leep 4243'), { timeout: 10_000 })
			.toBe('1\n');
		await kubectl('delete', 'pod', 'doomed', '--wait', '--timeout=20s');
		await apply(web('fresh'));
		await ready('fresh');
		expect(await curl('stays', `http://${(await ipsOf('fresh'))[0]}/hostname`)).toBe('fresh');
	});

	test('ends what was deleted without its knowledge, and makes anew what is gone', async () => {
		await kubectl('delete', 'pod', 'fresh', '--grace-period=5', '--wait=false');
		await kill();
		await execute('ip', ['netns', 'delete', 'mln-node2']);
		const steps: string[] = [];
		await up(options, (step) => steps.push(step));
		expect(steps[1]).toBe('Removing what is left of its network');
		await expect.poll(() => kubectl('get', 'pods', '-o', 'name'), { timeout: 20_000 }).not.toContain('fresh');
		await ready('stays', 'program');
		const [address] = await ipsOf('stays');
		await expect.poll(() => curl('node1', `http://${address}/hostname`).catch(String)).toBe('stays');
	});

	test('refuses to be another cluster with the same objects', async () => {
		await kill();
		await expect(up({ ...options, nodes: 3, families: ['v6', 'v4'] }, () => {})).rejects.toThrow(
			/they are of a cluster with --nodes 2 --families v4,v6; give the same, or remove it with "maglane standalone down"/,
		);
	});
});

test('up() without a network serves the control plane with described pods', async () => {
	await up({ ...options, network: false }, () => {});
	await kubectl('create', 'deployment', 'paper', '--image=nginx', '--port=80', '--replicas=3');
	await kubectl('expose', 'deployment', 'paper');
	await kubectl('rollout', 'status', 'deployment/paper', '--timeout=10s');
	const { subsets } = JSON.parse(await kubectl('get', 'endpoints', 'paper', '-o', 'json'));
	expect(subsets[0].addresses).toHaveLength(3);
	expect(existsSync('/run/netns') ? namespaces() : []).toEqual([]);
	await expect(inPlace('node1', 'true')).rejects.toThrow(/without a network/);
	expect(await down(options)).toMatchObject({ stopped: true, namespaces: [] });
});

test('up() says why when it cannot start, and removes what it made', async () => {
	const failure = await up({ ...options, nodes: 90 }, () => {}).catch((error: Error) => error);
	expect(failure).toMatchObject({ message: expect.stringContaining('Cannot start the cluster') });
	expect((failure as Error).cause).toMatchObject({
		message: expect.stringContaining('Cannot number a node 90'),
	});
	expect(remains('mln')).toEqual([]);
	expect(readFileSync(paths.controlPlaneLog, 'utf8')).toContain('Cannot number a node 90');
});
