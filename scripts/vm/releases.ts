/**
 * Stock kernels by apt: downloads the newest of a Debian release with separate package lists and
 * unpacks it into the cache.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { $ } from 'zx';

/** The kernels of the matrix, each the newest of a Debian release. */
export const RELEASES: Readonly<Record<string, string>> = {
	'5.10': 'bullseye',
	'6.1': 'bookworm',
	'6.12': 'trixie',
	newest: 'trixie-backports',
};

/** An unpacked kernel. `version` is the output of uname -r. */
export interface Kernel {
	readonly name: string;
	readonly version: string;
	readonly image: string;
	/** Holds lib/modules/<version>. */
	readonly root: string;
}

const quiet = $({ quiet: true });
/** Dependencies of linux-image-amd64 that contain files of the kernel. */
const PARTS = /^linux-(?:image|binary|modules|base)-\d/;

/** The kernel of a release, from the cache if it is there. */
export async function kernel(name: string, release: string, cache: string): Promise<Kernel> {
	const root = join(cache, name);
	if (!existsSync(root)) await unpack(release, root);
	const [version] = readdirSync(join(root, 'lib/modules'));
	const places = [join(root, `boot/vmlinuz-${version}`), join(root, `lib/modules/${version}/vmlinuz`)];
	const image = places.find((path) => existsSync(path));
	if (version === undefined || image === undefined)
		throw new Error(`${root} has no kernel: remove it, and it is fetched again`);
	return { name, version, image, root };
}

async function unpack(release: string, root: string): Promise<void> {
	const work = `${root}.new`;
	rmSync(work, { recursive: true, force: true });
	mkdirSync(join(work, 'apt/lists/partial'), { recursive: true });
	const apt = await aptOptions(release, join(work, 'apt'));
	await quiet`apt-get ${apt} update`;
	const packages = await partsOf('linux-image-amd64', apt);
	if (packages.length === 0) throw new Error(`${release} has no linux-image-amd64`);
	console.log(`${release}: fetching ${packages.join(', ')}`);
	await quiet({ cwd: work })`apt-get ${apt} download ${packages}`;
	for (const file of readdirSync(work).filter((name) => name.endsWith('.deb'))) {
		await quiet`dpkg-deb --extract ${join(work, file)} ${work}`;
		rmSync(join(work, file));
	}
	// the directory of the modules differs between releases, and between packages of one kernel
	if (existsSync(join(work, 'usr/lib/modules')))
		cpSync(join(work, 'usr/lib/modules'), join(work, 'lib/modules'), { recursive: true });
	for (const version of readdirSync(join(work, 'lib/modules'))) await quiet`depmod -b ${work} ${version}`;
	for (const unused of ['apt', 'usr']) rmSync(join(work, unused), { recursive: true, force: true });
	renameSync(work, root);
}

/** Options for separate lists, status and sources, with the machine's mirror and keys. */
async function aptOptions(release: string, directory: string): Promise<string[]> {
	const format = '$(REPO_URI)';
	const { stdout } = await quiet`apt-get indextargets --format ${format} ${'Created-By: Packages'}`;
	const [mirror] = stdout.split('\n').filter((uri) => /\/debian\/$/.test(uri));
	if (mirror === undefined) throw new Error('apt has no mirror of Debian in its sources');
	const sources = join(directory, 'sources.list');
	const status = join(directory, 'status');
	const keys = '/usr/share/keyrings/debian-archive-keyring.gpg';
	writeFileSync(sources, `deb [signed-by=${keys}] ${mirror} ${release} main\n`);
	writeFileSync(status, '');
	const options = {
		'Dir::Etc::SourceList': sources,
		'Dir::Etc::SourceParts': '/dev/null',
		'Dir::State::Lists': join(directory, 'lists'),
		'Dir::State::status': status,
		'Dir::Cache': directory,
		'APT::Sandbox::User': 'root',
	};
	return Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** The packages with files of the kernel that a package depends on. */
async function partsOf(meta: string, apt: readonly string[]): Promise<string[]> {
	const found = new Set<string>();
	const follow = async (name: string): Promise<void> => {
		const { stdout } = await quiet`apt-cache ${apt} depends --important ${name}`;
		for (const [, wanted] of stdout.matchAll(/Depends: (\S+)/g)) {
			if (!PARTS.test(wanted!) || found.has(wanted!)) continue;
			found.add(wanted!);
			await follow(wanted!);
		}
	};
	await follow(meta);
	return [...found];
}
