import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Driver, Place } from './cluster.ts';
import { PROBE_IMAGE } from './objects.ts';
import { Prober } from './prober.ts';
import { run } from './process.ts';

const HELPERS = 'maglane-e2e-helpers';
const AGENT = ['--namespace', 'kube-system', '--selector', 'k8s-app=maglane'];

/**
 * Opens an existing cluster. Probes run by `kubectl exec` with a Node image. For a pod it is the
 * container `probe`, for a node a pod in the host network. The outside is this machine, which needs
 * a route to the node addresses.
 */
export function openRealCluster(kubeconfig: string): Driver {
	const kubectl = (args: string[], input?: string) =>
		run('kubectl', ['--kubeconfig', kubeconfig, ...args], input);
	let helpers: Promise<void> | undefined;
	const start = async (place: Place) => {
		// The probe is one text without runtime imports: it imports only types from its neighbour
		const source = await readFile(join(import.meta.dirname, 'probe.ts'), 'utf8');
		const node = ['--no-warnings', '--input-type=module-typescript', '--eval', source];
		if (place === 'outside') return new Prober('outside', spawn(process.execPath, node, { stdio: 'pipe' }));
		if ('node' in place) {
			helpers ??= makeHelpers(kubectl);
			await helpers;
		}
		const [namespace, pod] = 'node' in place ? [HELPERS, `host-${place.node}`] : [place.namespace, place.pod];
		const exec = [
			'--kubeconfig',
			kubeconfig,
			'exec',
			'-i',
			'-n',
			namespace,
			pod,
			'-c',
			'probe',
			'--',
			'node',
		];
		return new Prober(`${namespace}/${pod}`, spawn('kubectl', [...exec, ...node], { stdio: 'pipe' }));
	};
	return {
		kind: 'real',
		kubeconfig,
		convergenceMs: 30_000,
		startProbe: start,
		killAgent: async (node) => {
			const field = ['--field-selector', `spec.nodeName=${node}`];
			await kubectl(['delete', 'pod', ...AGENT, ...field, '--grace-period=0', '--force']);
		},
		agentReady: async () => {
			await kubectl([
				'--namespace',
				'kube-system',
				'rollout',
				'status',
				'daemonset/maglane',
				'--timeout=120s',
			]);
		},
		close: async () => {
			if (helpers) await kubectl(['delete', 'namespace', HELPERS, '--ignore-not-found', '--wait=false']);
		},
	};
}

async function makeHelpers(kubectl: (args: string[], input?: string) => Promise<string>): Promise<void> {
	const nodes = JSON.parse(await kubectl(['get', 'nodes', '-o', 'json'])) as {
		items: { metadata: { name: string } }[];
	};
	const pods = nodes.items.map(({ metadata: { name } }) => ({
		apiVersion: 'v1',
		kind: 'Pod',
		metadata: { name: `host-${name}`, namespace: HELPERS },
		spec: {
			nodeName: name,
			hostNetwork: true,
			terminationGracePeriodSeconds: 0,
			tolerations: [{ operator: 'Exists' }],
			containers: [{ name: 'probe', image: PROBE_IMAGE, command: ['sleep', '86400'] }],
		},
	}));
	const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: HELPERS } };
	const documents = [namespace, ...pods].map((object) => JSON.stringify(object)).join('\n');
	await kubectl(['apply', '-f', '-'], documents);
	await kubectl(['wait', '-n', HELPERS, '--for=condition=Ready', 'pod', '--all', '--timeout=120s']);
}
