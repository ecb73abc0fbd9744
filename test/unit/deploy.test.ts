import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../../agent/config.ts';

const base = resolve(import.meta.dirname, '../../deploy/base');
const render = (directory: string) =>
	parseAllDocuments(execFileSync('kubectl', ['kustomize', directory], { encoding: 'utf8' })).map((document) =>
		document.toJS(),
	);
const objects = render(base);
const ofKind = (kind: string) => objects.find((object) => object.kind === kind);
const allOfKind = (kind: string, among = objects) => among.filter((object) => object.kind === kind);
const namesOf = (kind: string, among = objects): string[] =>
	allOfKind(kind, among).map(({ metadata }) => metadata.name);
/** Resources that the rules of all roles name. */
const resourcesOf = (among = objects): Set<string> =>
	new Set(
		allOfKind('ClusterRole', among).flatMap(({ rules }) =>
			rules.flatMap(({ resources }: { resources: string[] }) => resources),
		),
	);

describe('deploy/base', () => {
	it('renders a DaemonSet with its account, roles and configuration, all in kube-system', () => {
		expect([...new Set(objects.map(({ kind }) => kind))].sort()).toEqual([
			'ClusterRole',
			'ClusterRoleBinding',
			'ConfigMap',
			'DaemonSet',
			'ServiceAccount',
		]);
		for (const { kind, metadata } of objects)
			expect(metadata.namespace).toBe(kind.startsWith('Cluster') ? undefined : 'kube-system');
		const { kind, metadata } = ofKind('ServiceAccount');
		for (const { metadata: binding, roleRef, subjects } of allOfKind('ClusterRoleBinding')) {
			expect(roleRef).toMatchObject({ kind: 'ClusterRole', name: binding.name });
			expect(subjects).toEqual([{ kind, name: metadata.name, namespace: metadata.namespace }]);
		}
	});

	it('has roles of their own for pods and for namespaces', () => {
		const names = ['maglane', 'maglane-namespaces', 'maglane-pods'];
		expect(namesOf('ClusterRole').sort()).toEqual(names);
		expect(namesOf('ClusterRoleBinding').sort()).toEqual(names);
		for (const { metadata, rules } of allOfKind('ClusterRole')) {
			const resources = rules.flatMap((rule: { resources: string[] }) => rule.resources);
			if (metadata.name === 'maglane') expect(resources).not.toContain('pods');
			if (metadata.name === 'maglane') expect(resources).not.toContain('namespaces');
			else expect(resources).toEqual([metadata.name.replace('maglane-', '')]);
		}
	});

	it('lets the agent only read, and write events', () => {
		for (const { resources, verbs } of allOfKind('ClusterRole').flatMap(({ rules }) => rules)) {
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

describe('deploy/minimal', () => {
	const minimal = render(resolve(base, '../minimal'));

	it('reads neither pods nor namespaces', () => {
		expect(namesOf('ClusterRole', minimal)).toEqual(['maglane']);
		expect(namesOf('ClusterRoleBinding', minimal)).toEqual(['maglane']);
		expect([...resourcesOf(minimal)].sort()).toEqual(
			[...resourcesOf()].filter((resource) => resource !== 'pods' && resource !== 'namespaces').sort(),
		);
	});

	it('has a configuration that needs neither', async () => {
		const directory = mkdtempSync(join(tmpdir(), 'maglane-deploy-'));
		try {
			const file = join(directory, 'config.yaml');
			writeFileSync(file, allOfKind('ConfigMap', minimal)[0].data['config.yaml']);
			const [agent] = allOfKind('DaemonSet', minimal)[0].spec.template.spec.containers;
			const values = agent.env.filter(({ value }: { value?: string }) => value !== undefined);
			const env = Object.fromEntries(values.map(({ name, value }: Record<string, string>) => [name, value]));
			const config = await loadConfig({ config: file }, { ...env, MAGLANE_NODE_NAME: 'node1' });
			expect(config).toMatchObject({ socketLb: 'all', hostPorts: false });
			expect(config.dns ?? []).toEqual([]);
		} finally {
			rmSync(directory, { recursive: true, force: true });
		}
	});
});
