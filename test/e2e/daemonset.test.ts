import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { ImageRoot, startContainer } from './support/daemonset.ts';
import { Environment, type Target } from './support/environment.ts';
import { client, DUAL_STACK, deployment, service } from './support/objects.ts';
import { startStandalone } from './support/standalone-cluster.ts';
import { eventually } from './support/wait.ts';

const PREFIX = 'e2edaemonset';

let env: Environment;
let image: ImageRoot;
const agents: { child: ChildProcess; output: string }[] = [];

/** Mount point of cgroup v2: field 5 of its line in proc_pid_mountinfo(5). */
const cgroup2 = () => {
	const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
	return lines.find((line) => line.includes(' - cgroup2 '))!.split(' ')[4]!;
};

const RBAC = resolve(import.meta.dirname, '../../deploy/base/rbac.yaml');

/**
 * Writes the kubeconfig of a node with the token of a service account instead of the certificate.
 */
async function writeWithToken(from: string, token: string, file: string): Promise<void> {
	const config = parse(await readFile(from, 'utf8'));
	config.users[0].user = { token };
	await writeFile(file, stringify(config), { mode: 0o600 });
}

// On a real cluster the agents of all scenarios run in this container.
describe('the DaemonSet’s container, with its capabilities alone', {
	skip: process.env['KUBECONFIG'] !== undefined,
}, () => {
	beforeAll(async () => {
		image = await ImageRoot.build();
		const driver = await startStandalone(PREFIX, '--no-agents');
		env = await Environment.open('daemonset', driver);
		await env.kubectl('apply', '-n', 'kube-system', '-f', RBAC);
		const token = (await env.kubectl('create', 'token', 'maglane', '-n', 'kube-system')).trim();
		for (const { name } of env.nodes) {
			const kubeconfig = join(image.directory, `${name}.kubeconfig`);
			await writeWithToken(join(driver.directory, 'nodes', `${name}.kubeconfig`), token, kubeconfig);
			const child = await startContainer(image, {
				node: name,
				netns: `${PREFIX}-${name}`,
				cgroup: join(cgroup2(), PREFIX, name),
				pinPath: `/sys/fs/bpf/${PREFIX}/${name}`,
				kubeconfig,
			});
			const agent = { child, output: '' };
			child.stdout!.on('data', (chunk: Buffer) => {
				agent.output += chunk;
			});
			agents.push(agent);
		}
	});

	afterAll(async () => {
		for (const { child } of agents) child.kill('SIGTERM');
		await env?.[Symbol.asyncDispose]();
		await image?.[Symbol.asyncDispose]();
	});

	it('gets ready, with the objects of the image, and has three capabilities', async () => {
		for (const [i, { name }] of env.nodes.entries()) {
			const prober = await env.prober({ node: name });
			await eventually(`the agent of ${name} is ready`, async () => {
				const [answer] = await prober.http('127.0.0.1', 10256, '/readyz');
				return answer!.status === 200 ? true : undefined;
			});
			expect(agents[i]!.output).toContain('"origin":"shipped"');
			const status = readFileSync(`/proc/${agents[i]!.child.pid}/status`, 'utf8');
			// CAP_NET_ADMIN (12), CAP_PERFMON (38), CAP_BPF (39)
			expect(BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)![1]}`)).toBe(
				(1n << 12n) | (1n << 38n) | (1n << 39n),
			);
		}
	});

	it.each([
		['get', '', 'services', '', true],
		['watch', 'discovery.k8s.io', 'endpointslices', '', true],
		['watch', 'networking.k8s.io', 'servicecidrs', '', true],
		['create', 'events.k8s.io', 'events', '', true],
		['get', '', 'secrets', '', false],
		['update', '', 'services', '', false],
		['create', '', 'pods', '', false],
		['create', '', 'serviceaccounts', 'token', false],
	])('may by its service account %s %s/%s/%s: %s', async (verb, group, resource, subresource, allowed) => {
		const review = {
			apiVersion: 'authorization.k8s.io/v1',
			kind: 'SubjectAccessReview',
			spec: {
				user: 'system:serviceaccount:kube-system:maglane',
				resourceAttributes: { verb, group, resource, subresource },
			},
		};
		const answer = await env.kubectlInput(JSON.stringify(review), 'create', '-f', '-', '-o', 'json');
		expect(JSON.parse(answer).status).toMatchObject({ allowed });
	});

	it('is refused nothing', () => {
		// the errors alone: a time or a port may hold the digits of a status
		for (const { output } of agents) {
			const lines = output
				.split('\n')
				.slice(0, -1)
				.filter((line) => line.startsWith('{'))
				.map((line) => JSON.parse(line));
			expect(lines).toContainEqual(expect.objectContaining({ level: 'info' }));
			const errors = lines.flatMap(({ error }) => (error === undefined ? [] : [error]));
			expect(errors.filter((error) => /forbidden|unauthorized|\b40[13]\b/i.test(error))).toEqual([]);
		}
	});

	it('serves pods, nodes and clients outside over both families', async () => {
		const [node] = env.nodes;
		await env.apply(
			deployment('echo', 3),
			service('echo', { type: 'NodePort', ...DUAL_STACK }),
			client('client'),
		);
		await env.podsReady('echo', 3);
		await env.podsReady('client', 1);
		const backends = await env.podNames('echo');
		const { spec } = await env.get('service', 'echo');
		for (const host of spec.clusterIPs) {
			await env.reaches({ pod: 'client' }, { host, port: 80 }, backends);
			await env.reaches({ pod: 'client' }, { host, port: 90, udp: true }, backends);
			await env.reaches({ node: node!.name }, { host, port: 80 }, backends);
			for (const each of env.nodes) {
				const own = isIPv6(host) ? each.v6! : each.v4!;
				const targets: Target[] = [
					{ host: own, port: spec.ports[0].nodePort },
					{ host: own, port: spec.ports[1].nodePort, udp: true },
				];
				for (const target of targets) await env.reaches('outside', target, backends);
			}
		}
	});
});
