/**
 * Boots a kernel in QEMU on this machine's files, runs a command and collects its output and
 * status.
 */
import { spawn } from 'node:child_process';
import {
	copyFileSync,
	existsSync,
	mkdirSync,
	readFileSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { $ } from 'zx';
import type { Accelerator } from './accelerator.ts';
import type { Kernel } from './releases.ts';

const project = resolve(import.meta.dirname, '../..');
const quiet = $({ quiet: true });
/** Modules that an initramfs needs to reach the host's files. */
const MODULES = ['virtio_pci', '9p', '9pnet_virtio', 'overlay'];
const MEMORY = '3G';
const PROCESSORS = 2;
const ACCELERATE: Readonly<Record<Accelerator, readonly string[]>> = {
	kvm: ['-accel', 'kvm', '-cpu', 'host'],
	tcg: ['-accel', 'tcg,thread=single,tb-size=1024', '-cpu', 'max,pku=off'],
};

export interface Job {
	readonly kernel: Kernel;
	/** Path of the compiler that is `clang` in the VM; this machine's when absent. */
	readonly clang?: string;
	/** For the shell; its working directory is the project, /run/vm is `share`. */
	readonly command: string;
	/** Created, or emptied if it exists. */
	readonly share: string;
	readonly minutes: number;
	readonly accel: Accelerator;
	/** Hides the messages of QEMU. */
	readonly silent?: boolean;
}

/** Exit status of the command; undefined when the VM ended or was killed without one. */
export async function boot(job: Job): Promise<number | undefined> {
	const { share } = job;
	rmSync(share, { recursive: true, force: true });
	mkdirSync(share, { recursive: true });
	copyFileSync(join(import.meta.dirname, 'guest'), join(share, 'guest'));
	writeFileSync(join(share, 'settings'), settings(job));
	const initramfs = join(share, 'initramfs');
	await makeInitramfs(job.kernel, initramfs);
	await qemu(job, initramfs);
	rmSync(initramfs);
	const status = join(share, 'status');
	return existsSync(status) ? Number(readFileSync(status, 'utf8')) : undefined;
}

function settings({ kernel, clang, command }: Job): string {
	const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
	const values = { kernel_root: kernel.root, clang: clang ?? '', project, command };
	return Object.entries(values)
		.map(([name, value]) => `${name}=${quoted(value)}\n`)
		.join('');
}

/** Packs busybox, our init and the modules in loading order. */
async function makeInitramfs(kernel: Kernel, file: string): Promise<void> {
	const tree = `${file}.tree`;
	for (const directory of ['bin', 'dev', 'proc', 'modules'])
		mkdirSync(join(tree, directory), { recursive: true });
	copyFileSync('/bin/busybox', join(tree, 'bin/busybox'));
	copyFileSync(join(import.meta.dirname, 'init'), join(tree, 'init'));
	symlinkSync('busybox', join(tree, 'bin/sh'));
	const order: string[] = [];
	for (const path of await modulePaths(kernel)) {
		const name = basename(path).replace(/\.(xz|zst)$/, '');
		const unpacked = path.endsWith('.xz') ? 'xz -dc' : path.endsWith('.zst') ? 'zstd -dcq' : 'cat';
		await quiet`sh -c ${`${unpacked} '${path}' >'${join(tree, 'modules', name)}'`}`;
		order.push(name);
	}
	writeFileSync(join(tree, 'modules/order'), `${order.join('\n')}\n`);
	await quiet({
		cwd: tree,
	})`sh -c ${`chmod 755 init bin/busybox && find . | busybox cpio -o -H newc >'${file}'`}`;
	rmSync(tree, { recursive: true });
}

/** The files of the modules and of their dependencies, without built-in ones. */
async function modulePaths({ root, version }: Kernel): Promise<string[]> {
	const paths = new Set<string>();
	for (const module of MODULES) {
		const { stdout } = await quiet`modprobe -d ${root} -S ${version} --show-depends ${module}`;
		for (const [, path] of stdout.matchAll(/^insmod (\S+)/gm)) paths.add(path!);
	}
	return [...paths];
}

/** Resolves when the VM ends: it reboots at the end, and QEMU exits on that. */
function qemu({ kernel, share, minutes, accel, silent }: Job, initramfs: string): Promise<void> {
	const folder = (tag: string, path: string, more = '') =>
		['-virtfs', `local,path=${path},mount_tag=${tag},security_model=none,multidevs=remap${more}`] as const;
	const args = [
		...ACCELERATE[accel],
		...['-m', MEMORY, '-smp', String(PROCESSORS), '-no-reboot'],
		...['-display', 'none', '-monitor', 'none', '-nic', 'none', '-serial', `file:${join(share, 'console')}`],
		...['-kernel', kernel.image, '-initrd', initramfs],
		...['-append', 'console=ttyS0 quiet panic=-1 random.trust_cpu=on net.ifnames=0 mitigations=off'],
		...folder('host', '/', ',readonly=on'),
		...folder('share', share),
	];
	return new Promise((done, fail) => {
		const child = spawn('qemu-system-x86_64', args, {
			stdio: ['ignore', 'inherit', silent ? 'ignore' : 'inherit'],
		});
		const timer = setTimeout(() => child.kill('SIGKILL'), minutes * 60_000);
		child.on('error', fail);
		child.on('close', () => {
			clearTimeout(timer);
			done();
		});
	});
}
