import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse, parseAllDocuments, stringify } from 'yaml';
import type { Json } from './environment.ts';
import { run } from './process.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const which = (tool: string) => execFileSync('which', [tool], { encoding: 'utf8' }).trim();

/** Programs of the base image that the launcher needs. */
const TOOLS = ['sh', 'dirname', 'readlink'];

/** The image's /opt/maglane and a PATH without clang, built as deploy/Dockerfile builds them. */
export class ImageRoot implements AsyncDisposable {
	readonly directory: string;

	private constructor(directory: string) {
		this.directory = directory;
	}

	static async build(): Promise<ImageRoot> {
		const directory = await mkdtemp(join(tmpdir(), 'maglane-image-'));
		const image = join(directory, 'opt');
		await run(process.execPath, [join(ROOT, 'scripts/bundle.ts'), image]);
		await run(process.execPath, [join(ROOT, 'scripts/bpf.ts'), join(image, 'dist/bpf')]);
		await cp(join(ROOT, 'bpf'), join(image, 'bpf'), { recursive: true });
		const bin = join(directory, 'bin');
		await mkdir(bin);
		await symlink(process.execPath, join(bin, 'node'));
		for (const tool of TOOLS) await symlink(which(tool), join(bin, tool));
		return new ImageRoot(directory);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await rm(this.directory, { recursive: true, force: true });
	}
}

export interface NodePlace {
	node: string;
	netns: string;
	cgroup: string;
	pinPath: string;
	kubeconfig: string;
}

/**
 * Runs the container of the DaemonSet in deploy/base as a node would. It has only the arguments,
 * environment, capabilities and configuration of the DaemonSet, with the paths of the node.
 */
export async function startContainer(image: ImageRoot, place: NodePlace): Promise<ChildProcess> {
	const objects = parseAllDocuments(await run('kubectl', ['kustomize', join(ROOT, 'deploy/base')])).map(
		(document): Json => document.toJS(),
	);
	const [container] = objects.find(({ kind }) => kind === 'DaemonSet').spec.template.spec.containers;
	const config = parse(objects.find(({ kind }) => kind === 'ConfigMap').data['config.yaml']);
	const file = join(image.directory, `${place.node}.yaml`);
	await writeFile(file, stringify({ ...config, cgroup: place.cgroup, pinPath: place.pinPath }));
	const args = container.args.map((arg: string) => (arg === '/etc/maglane/config.yaml' ? file : arg));

	const { add } = container.securityContext.capabilities;
	const only = ['-all', ...add.map((name: string) => `+${name.toLowerCase()}`)].join();
	const limits = ['--bounding-set', only, '--inh-caps', only, '--no-new-privs'];
	const launcher = join(image.directory, 'opt/bin/maglane');
	return spawn(
		which('nsenter'),
		[`--net=/run/netns/${place.netns}`, which('setpriv'), ...limits, launcher, ...args],
		{
			stdio: ['ignore', 'pipe', 'inherit'],
			env: {
				PATH: join(image.directory, 'bin'),
				MAGLANE_NODE_NAME: place.node,
				MAGLANE_KUBECONFIG: place.kubeconfig,
				MAGLANE_BPF_CACHE: join(image.directory, 'cache'),
			},
		},
	);
}
