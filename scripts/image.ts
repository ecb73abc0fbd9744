/**
 * Builds the image of the agent without a container engine, as an OCI archive, with its bill of
 * materials and its provenance: scripts/image.ts [directory]. It contains the bundle, the BPF
 * objects, the pinned Node and the shared libraries of both; no shell. Equal sources on one machine
 * give an equal digest.
 */
import { chmod, copyFile, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { $ } from 'zx';
import { findClang } from '../agent/bpf/clang.ts';
import packageJson from '../package.json' with { type: 'json' };
import { packagesOf } from './check/licences.ts';
import { type Build, billOfMaterials, type NpmPackage, provenance } from './image/documents.ts';
import { digestOf, type ImageSpec, OciLayout } from './image/oci.ts';
import { copyLibraries, type SystemFiles } from './image/system.ts';

const root = resolve(import.meta.dirname, '..');
const target = resolve(process.argv[2] ?? join(root, 'dist'));
const NAME = 'maglane';
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const APP = 'opt/maglane';
/** The image has no shell: Node is the interpreter. */
const LAUNCHER = `#!/usr/local/bin/node\nimport('/${APP}/dist/agent/main.js');\n`;
/** Mount points of the DaemonSet, and the directories that every program expects. */
const DIRECTORIES = ['etc/maglane', 'host/cgroup', 'proc', 'sys', 'tmp', 'run'];

Object.assign($, { cwd: root, quiet: true });

/** Fills the layer of the agent. @returns packages in the bundle */
async function agentLayer(layer: string): Promise<NpmPackage[]> {
	const app = join(layer, APP);
	const { stdout } = await $`${process.execPath} scripts/bundle.ts ${app} --packages`;
	await $`${process.execPath} scripts/bpf.ts ${join(app, 'dist/bpf')}`;
	await cp(join(root, 'bpf'), join(app, 'bpf'), { recursive: true });
	await cp(join(root, 'LICENSE'), join(app, 'LICENSE'));
	await mkdir(join(layer, 'usr/local/bin'), { recursive: true });
	await writeFile(join(layer, 'usr/local/bin', NAME), LAUNCHER);
	await chmod(join(layer, 'usr/local/bin', NAME), 0o755);
	const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'));
	const known = new Map(packagesOf(lock).map((one) => [one.name, one]));
	return stdout
		.trim()
		.split('\n')
		.sort()
		.map((name) => {
			const found = known.get(name);
			if (!found) throw new Error(`Cannot describe the image: package-lock.json has no package ${name}`);
			return { name, version: found.version, licence: found.licence };
		});
}

/** Fills the layer of Node and the system. */
async function systemLayer(layer: string, koffi: string): Promise<SystemFiles> {
	for (const directory of DIRECTORIES) await mkdir(join(layer, directory), { recursive: true });
	await mkdir(join(layer, 'usr/local/bin'), { recursive: true });
	await copyFile(process.execPath, join(layer, 'usr/local/bin/node'));
	await writeFile(join(layer, 'etc/passwd'), 'root:x:0:0:root:/tmp:/usr/local/bin/maglane\n');
	await writeFile(join(layer, 'etc/group'), 'root:x:0:\n');
	await writeFile(join(layer, 'etc/nsswitch.conf'), 'passwd: files\nhosts: files dns\n');
	return copyLibraries([await libbpf()], [process.execPath, koffi], layer);
}

/** The path of libbpf.so.1 by the cache of the loader. */
async function libbpf(): Promise<string> {
	const { stdout } = await $`ldconfig -p`;
	const path = /libbpf\.so\.1 .*=> (\S+)/.exec(stdout)?.[1];
	if (!path) throw new Error('Cannot build the image: libbpf.so.1 is not installed; run make setup');
	return path;
}

async function koffiLibrary(layer: string): Promise<string> {
	const { stdout } = await $`find ${join(layer, APP, 'node_modules')} -name koffi.node`;
	const arch = `linux_${process.arch}`;
	const found = stdout.split('\n').find((path) => path.replaceAll('-', '_').includes(arch));
	if (!found) throw new Error(`Cannot build the image: koffi has no library for ${arch}`);
	return found;
}

async function sources(): Promise<{ epoch: number; commit: Build['commit'] }> {
	const [log, status] = await Promise.all([$`git log -1 ${'--format=%H %ct'}`, $`git status --porcelain`]);
	const [id, seconds] = log.stdout.trim().split(' ');
	const epoch = Number(process.env['SOURCE_DATE_EPOCH'] ?? seconds);
	return { epoch, commit: { id: id!, dirty: status.stdout.trim() !== '' } };
}

async function main(): Promise<void> {
	const architecture = ARCHITECTURES[process.arch];
	if (!architecture) throw new Error(`Cannot build the image: ${process.arch} is not supported`);
	const work = await mkdtemp(join(tmpdir(), 'maglane-image-'));
	try {
		const [app, system, layout] = ['app', 'system', 'layout'].map((name) => join(work, name));
		for (const directory of [app!, system!, layout!, target]) await mkdir(directory, { recursive: true });
		const { epoch, commit } = await sources();
		const npm = await agentLayer(app!);
		const files = await systemLayer(system!, await koffiLibrary(app!));
		const oci = new OciLayout(layout!, epoch);
		const spec: ImageSpec = {
			name: NAME,
			version: packageJson.version,
			architecture,
			epoch,
			config: {
				Entrypoint: [`/usr/local/bin/${NAME}`],
				Cmd: ['agent'],
				Env: ['PATH=/usr/local/bin', 'NODE_ENV=production', 'MAGLANE_BPF_CACHE=/tmp/maglane-bpf'],
			},
		};
		const layers = [
			await oci.layer(system!, `Node ${process.version} and libraries of ${files.distribution}`),
			await oci.layer(app!, `maglane ${spec.version}`),
		];
		const image = await oci.image(spec, layers);
		const build: Build = {
			...{ name: NAME, version: spec.version, digest: image.digest, architecture, epoch, commit, npm },
			node: process.version.slice(1),
			clang: (await findClang())?.version ?? 'none',
			system: files,
			lock: await digestOf(join(root, 'package-lock.json')),
		};
		await write(oci, spec, image, build);
	} finally {
		await rm(work, { recursive: true, force: true });
	}
}

async function write(
	oci: OciLayout,
	spec: ImageSpec,
	image: Awaited<ReturnType<OciLayout['image']>>,
	build: Build,
): Promise<void> {
	const stem = join(target, `${NAME}-${spec.version}-${spec.architecture}`);
	await oci.finish(spec, image, `${stem}.oci.tar`);
	await writeFile(`${stem}.cdx.json`, `${JSON.stringify(billOfMaterials(build), undefined, '\t')}\n`);
	await writeFile(`${stem}.provenance.json`, `${JSON.stringify(provenance(build), undefined, '\t')}\n`);
	const { size } = await stat(`${stem}.oci.tar`);
	for (const suffix of ['oci.tar', 'cdx.json', 'provenance.json'])
		console.log(relative(process.cwd(), `${stem}.${suffix}`));
	console.log(`${(size / 1e6).toFixed(0)} MB, digest ${image.digest}`);
	console.log(`Deploy it by digest: set the image to <registry>/${NAME}@${image.digest}`);
}

try {
	await main();
} catch (error) {
	console.error(error instanceof Error ? error.message : error);
	process.exitCode = 1;
}
