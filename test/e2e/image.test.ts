/** Content, digests and documents of the image that `make image` writes. */
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../scripts/image/oci.ts';
import { run } from './support/process.ts';

const ROOT = resolve(import.meta.dirname, '../..');

interface Descriptor {
	readonly digest: string;
	readonly size: number;
}
interface Manifest {
	readonly config: Descriptor;
	readonly layers: readonly Descriptor[];
}

let work: string;
const inWork = (...path: string[]) => join(work, ...path);
const blob = ({ digest }: Descriptor) => inWork('layout/blobs/sha256', digest.slice('sha256:'.length));
const json = async (path: string) => JSON.parse(await readFile(path, 'utf8'));
const build = (target: string) => run(process.execPath, [join(ROOT, 'scripts/image.ts'), inWork(target)]);
const fileIn = async (directory: string, suffix: string) =>
	inWork(directory, (await readdir(inWork(directory))).find((name) => name.endsWith(suffix))!);

let image: Descriptor;
let manifest: Manifest;

beforeAll(async () => {
	work = await mkdtemp(join(tmpdir(), 'maglane-image-test-'));
	await build('out');
	for (const directory of ['layout', 'root']) await mkdir(inWork(directory));
	await run('tar', ['-xf', await fileIn('out', '.oci.tar'), '-C', inWork('layout')]);
	[image] = (await json(inWork('layout/index.json'))).manifests;
	manifest = await json(blob(image));
	for (const layer of manifest.layers) await run('tar', ['-xzf', blob(layer), '-C', inWork('root')]);
}, 120_000);
afterAll(() => rm(work, { recursive: true, force: true }));

/** Without other variables: NODE_EXTRA_CA_CERTS names a file that the image does not have. */
const ENVIRONMENT = `PATH=${process.env['PATH']}`;
/** Runs the command of the image in its file system, in a mount namespace of its own. */
const inImage = (...args: string[]) => {
	const command = ['chroot', inWork('root'), '/usr/local/bin/maglane', ...args];
	return run('unshare', ['--mount', 'env', '-i', ENVIRONMENT, ...command]);
};

describe('the image', () => {
	test('has blobs with the digests and sizes that refer to them', async () => {
		for (const descriptor of [image, manifest.config, ...manifest.layers])
			expect(await digestOf(blob(descriptor))).toBe(descriptor.digest);
		const { rootfs, config } = await json(blob(manifest.config));
		expect(rootfs.diff_ids).toHaveLength(manifest.layers.length);
		expect(config).toMatchObject({ Entrypoint: ['/usr/local/bin/maglane'], Cmd: ['agent'] });
	});

	test('runs without a shell, without files that others can write', async () => {
		for (const path of ['bin', 'bin/sh', 'usr/bin'])
			await expect(readdir(inWork('root', path)), path).rejects.toThrow('ENOENT');
		const writable = await run('find', [inWork('root'), '-perm', '/022', '-not', '-type', 'l']);
		expect(writable).toBe('');
		expect(await inImage('version')).toMatch(/^maglane \d+\.\d+\.\d+ \(ABI \d+, Node v24/);
		// libbpf and the FFI load: otherwise the message names the library
		await expect(inImage('status')).rejects.toThrow('There is no /sys/fs/bpf/maglane');
	});

	test('mounts bpffs where there is none, once', async () => {
		const script = 'env -i "$1" chroot "$0" /usr/local/bin/maglane mount-bpffs /run 2>&1';
		const both = ['sh', '-c', `${script}; ${script}`, inWork('root'), ENVIRONMENT];
		const twice = await run('unshare', ['--mount', ...both]);
		expect(twice).toBe('Mounted bpffs at /run\nbpffs is mounted at /run\n');
		await expect(inImage('mount-bpffs', '/none')).rejects.toThrow('Cannot mount bpffs at /none: ENOENT');
	});

	test('has the same digest when it is built again', async () => {
		await build('again');
		await mkdir(inWork('second'));
		await run('tar', ['-xf', await fileIn('again', '.oci.tar'), '-C', inWork('second')]);
		const [second] = (await json(inWork('second/index.json'))).manifests;
		expect(second.digest).toBe(image.digest);
	}, 120_000);

	test('is described by its bill of materials and its provenance', async () => {
		const materials = await json(await fileIn('out', '.cdx.json'));
		const names = materials.components.map(({ name }: { name: string }) => name);
		expect(names).toEqual(expect.arrayContaining(['node', 'koffi', 'commander', 'pino', 'zod']));
		expect(names).not.toContain('vitest');
		const { subject, predicate } = await json(await fileIn('out', '.provenance.json'));
		expect(`sha256:${subject[0].digest.sha256}`).toBe(image.digest);
		const commit = (await run('git', ['-C', ROOT, 'rev-parse', 'HEAD'])).trim();
		expect(predicate.buildDefinition.resolvedDependencies[0].digest.gitCommit).toBe(commit);
	});
});
