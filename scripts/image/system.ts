/** Copies programs and their shared libraries from this machine into an image. */
import { access, cp, mkdir, readFile, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { $ } from 'zx';

/** A package of the distribution of which the image contains files. */
export interface SystemPackage {
	readonly name: string;
	readonly version: string;
}

export interface SystemFiles {
	readonly packages: readonly SystemPackage[];
	/** PRETTY_NAME of os-release(5). */
	readonly distribution: string;
}

/** Loaded by name at run time, so ldd does not list them; not all exist on all distributions. */
const BY_NAME = ['libnss_files.so.2', 'libnss_dns.so.2', 'libresolv.so.2'];

/**
 * Copies shared libraries, those that they and the binaries need, and the loader, to the paths
 * where the loader finds them, with the copyright files of their packages.
 * @param opened paths of libraries of this machine that a program opens at run time
 * @param binaries paths of files that are in the image already
 */
export async function copyLibraries(
	opened: readonly string[],
	binaries: readonly string[],
	root: string,
): Promise<SystemFiles> {
	const libraries = new Set(opened);
	for (const binary of [...opened, ...binaries])
		for (const file of await neededBy(binary)) libraries.add(file);
	const libc = [...libraries].find((file) => file.endsWith('/libc.so.6'));
	if (!libc) throw new Error(`Cannot find the C library of ${binaries[0]}: ldd lists none`);
	for (const name of BY_NAME)
		if (await exists(join(dirname(libc), name))) libraries.add(join(dirname(libc), name));
	const packages = new Map<string, string>();
	for (const file of libraries) {
		await mkdir(join(root, dirname(file)), { recursive: true });
		await cp(await realpath(file), join(root, file));
		const owner = await packageOf(file);
		if (owner) packages.set(owner.name, owner.version);
	}
	for (const name of packages.keys()) await copyCopyright(name, root);
	const sorted = [...packages]
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.map(([name, version]) => ({ name, version }));
	return { packages: sorted, distribution: await distribution() };
}

/** Paths of the shared libraries and the loader, by ldd. */
async function neededBy(binary: string): Promise<string[]> {
	const { stdout } = await $`ldd ${binary}`;
	return [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1]!);
}

/** The Debian package that owns a file; undefined on other distributions. */
async function packageOf(file: string): Promise<SystemPackage | undefined> {
	// dpkg knows a file below / or below /usr, where the other is a link
	for (const path of [file, await realpath(file), file.replace(/^\/usr\//, '/'), `/usr${file}`]) {
		const { exitCode, stdout } = await $({ nothrow: true })`dpkg-query --search ${path}`;
		if (exitCode !== 0) continue;
		const name = stdout.split(':', 1)[0]!;
		const shown = await $`dpkg-query --show ${name}`;
		return { name, version: shown.stdout.trim().split('\t')[1]! };
	}
	return undefined;
}

async function copyCopyright(name: string, root: string): Promise<void> {
	const file = `/usr/share/doc/${name}/copyright`;
	if (!(await exists(file))) return;
	await mkdir(join(root, dirname(file)), { recursive: true });
	await cp(await realpath(file), join(root, file));
}

async function distribution(): Promise<string> {
	const text = await readFile('/etc/os-release', 'utf8');
	return /^PRETTY_NAME="?([^"\n]*)/m.exec(text)?.[1] ?? 'Linux';
}

async function exists(path: string): Promise<boolean> {
	return access(path).then(
		() => true,
		() => false,
	);
}
