/**
 * Runs the end-to-end scenarios on a real cluster: builds the image, creates a dual-stack kind
 * cluster without kube-proxy, installs deploy/kind, runs scripts/e2e.ts, and deletes the cluster
 * (KEEP=1 keeps it).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { $ } from 'zx';
import { command, type Need } from './machine.ts';

const root = resolve(import.meta.dirname, '..');
const CLUSTER = 'maglane';
const IMAGE = 'maglane:latest';
/** Images of the scenarios' pods; pulled once here instead of by every node. */
const TEST_IMAGES = ['registry.k8s.io/e2e-test-images/agnhost:2.53', 'node:24-alpine'];

const daemon: Need = () => {
	const { exitCode } = $.sync({ nothrow: true, quiet: true })`docker info`;
	return exitCode === 0 ? undefined : 'the docker daemon does not answer';
};

async function up(kubeconfig: string): Promise<void> {
	await $`docker build -f deploy/Dockerfile -t ${IMAGE} .`;
	await $`kind create cluster --name ${CLUSTER} --config deploy/kind/cluster.yaml --kubeconfig ${kubeconfig}`;
	for (const image of TEST_IMAGES) await $`docker pull --quiet ${image}`;
	await $`kind load docker-image ${[IMAGE, ...TEST_IMAGES]} --name ${CLUSTER}`;
	const kubectl = ['--kubeconfig', kubeconfig];
	await $`kubectl ${kubectl} apply -k deploy/kind`;
	try {
		await $`kubectl ${kubectl} -n kube-system rollout status daemonset/maglane --timeout=180s`;
	} catch (error) {
		await $({
			nothrow: true,
		})`kubectl ${kubectl} -n kube-system logs daemonset/maglane --all-containers --tail=50`;
		throw error;
	}
	// DNS names resolve and nodes are Ready only when Services work
	await $`kubectl ${kubectl} wait node --all --for=condition=Ready --timeout=120s`;
	await $`kubectl ${kubectl} -n kube-system rollout status deployment/coredns --timeout=120s`;
}

async function main(): Promise<number> {
	const missing = [command('docker'), command('kind'), command('kubectl'), daemon].map((need) => need());
	const reasons = missing.filter((reason) => reason !== undefined);
	if (reasons.length > 0) {
		console.error(`Cannot run on kind: ${reasons.join('; ')}`);
		return 1;
	}
	Object.assign($, { cwd: root, verbose: true });
	const directory = await mkdtemp(join(tmpdir(), 'maglane-kind-'));
	const kubeconfig = join(directory, 'kubeconfig');
	try {
		await up(kubeconfig);
		const e2e = [join(root, 'scripts/e2e.ts'), ...process.argv.slice(2)];
		const { exitCode } = await $({
			nothrow: true,
			stdio: 'inherit',
			env: { ...process.env, KUBECONFIG: kubeconfig },
		})`${process.execPath} ${e2e}`;
		return exitCode ?? 1;
	} finally {
		if (process.env['KEEP']) console.log(`Left: kind cluster ${CLUSTER}, kubeconfig ${kubeconfig}`);
		else {
			await $({ nothrow: true })`kind delete cluster --name ${CLUSTER}`;
			await rm(directory, { recursive: true, force: true });
		}
	}
}

process.exitCode = await main();
