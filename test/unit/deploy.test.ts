import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../../agent/config.ts';

const base = resolve(import.meta.dirname, '../../deploy/base');
const rendered = execFileSync('kubectl', ['kustomize', base], { encoding: 'utf8' });
const objects = parseAllDocuments(rendered).map((document) => document.toJS());
const ofKind = (kind: string) => objects.find((object) => object.kind === kind);

describe('deploy/base', () => {
	it('renders a DaemonSet with its account, role and configuration, all in kube-system', () => {
		expect(objects.map(({ kind }) => kind).sort()).toEqual([
			'ClusterRole',
			'ClusterRoleBinding',
			'ConfigMap',
			'DaemonSet',
			'ServiceAccount',
		]);
		for (const { kind, metadata } of objects)
			expect(metadata.namespace).toBe(kind.startsWith('Cluster') ? undefined : 'kube-system');
		expect(ofKind('ClusterRoleBinding').subjects[0]).toMatchObject(
			(({ kind, metadata: { name, namespace } }) => ({ kind, name, namespace }))(ofKind('ServiceAccount')),
		);
	});

	it('lets the agent only read, and write events', () => {
		for (const { resources, verbs } of ofKind('ClusterRole').rules) {
			const allowed = resources.includes('events') ? ['create', 'patch'] : ['get', 'list', 'watch'];
			expect(verbs).toEqual(allowed);
		}
	});

	it('runs the agent with three capabilities instead of privileged', () => {
		const { hostNetwork, containers } = ofKind('DaemonSet').spec.template.spec;
		expect(hostNetwork).toBe(true);
		expect(containers).toHaveLength(1);
		expect(containers[0].securityContext).toMatchObject({
			privileged: false,
			allowPrivilegeEscalation: false,
			capabilities: { drop: ['ALL'], add: ['BPF', 'NET_ADMIN', 'PERFMON'] },
		});
	});

	it('gives the agent a configuration that it accepts, and volumes for the paths in it', async () => {
		const directory = mkdtempSync(join(tmpdir(), 'maglane-deploy-'));
		try {
			const file = join(directory, 'config.yaml');
			writeFileSync(file, ofKind('ConfigMap').data['config.yaml']);
			const config = await loadConfig({ config: file }, { MAGLANE_NODE_NAME: 'node1' });
			const [agent] = ofKind('DaemonSet').spec.template.spec.containers;
			const mounts: string[] = agent.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath);
			for (const path of [config.cgroup, config.pinPath])
				expect(mounts.some((mount) => path.startsWith(mount))).toBe(true);
			expect(agent.ports[0].containerPort).toBe(config.healthAddress?.port);
		} finally {
			rmSync(directory, { recursive: true, force: true });
		}
	});
});
