/**
 * Provides BPF objects for this machine. Uses the shipped objects if the sources still match them;
 * else compiles with clang and caches the objects by content hash. Runs child processes and never
 * blocks the event loop.
 */
import { createHash, randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clang, compileFile, compilerIdentity, findClang } from './clang.ts';
import { closeToOthers, distrustError, distrustedItself, trustedOwners } from './trusted.ts';

/** Objects of the dataplane in load order. */
export const OBJECT_NAMES = ['xdp', 'tc', 'tc_l3', 'sock'] as const;
export type ObjectName = (typeof OBJECT_NAMES)[number];

const SOURCES_FILE = 'sources.sha256';
/** Set with chmod, so that the umask has no effect. */
const OBJECT_MODE = 0o644;
/** Cached directories to keep: agents of different versions may share a cache. */
const KEPT = 4;

export interface CompileOptions {
	/** Directory of the C files. */
	readonly sources: string;
	/** Cache directory, with one subdirectory per content hash. Created when absent. */
	readonly cache: string;
	/** Directory of the objects shipped with the agent. */
	readonly shipped?: string;
	/** Default clang. */
	readonly clang?: string;
}

export interface BpfObjects {
	readonly origin: 'compiled' | 'cached' | 'shipped';
	readonly directory: string;
	/** Path of `<name>.bpf.o`. */
	readonly files: Readonly<Record<ObjectName, string>>;
	/** Compiler version, or the reason why clang was not used. */
	readonly note: string;
}

/**
 * Returns the objects for these sources.
 * @throws Error with clang's output when a source does not compile; when there is neither clang nor
 * a shipped object; when another user can write to the cache, since the kernel loads its files.
 */
export async function bpfObjects(options: CompileOptions, signal?: AbortSignal): Promise<BpfObjects> {
	const sources = await readSources(options.sources);
	const wanted = sourcesHash(sources);
	const shipped = await findShipped(options.shipped);
	if (shipped?.hash === wanted)
		return { ...shipped.objects, note: 'the sources are those of the shipped objects' };
	const clang = sources.size > 0 ? await findClang(options.clang, signal) : undefined;
	if (!clang) {
		if (shipped) return shipped.objects;
		throw new Error(
			'Cannot get BPF objects: there is no clang to compile them, and none were shipped; install clang',
		);
	}
	const owners = await cacheOwners(options);
	const directory = join(options.cache, hash(compilerIdentity(clang), wanted).slice(0, 32));
	const ours = isOurs(directory, owners);
	if (ours && (await isComplete(directory))) {
		const now = new Date();
		// removeOld() uses the age; a read-only cache needs no removal
		await utimes(directory, now, now).catch(() => {});
		return { origin: 'cached', directory, files: filesIn(directory), note: clang.version };
	}
	if (!ours) await rm(directory, { recursive: true, force: true });
	await compileInto(directory, options, clang, sources, signal);
	await removeOld(options.cache);
	return { origin: 'compiled', directory, files: filesIn(directory), note: clang.version };
}

/** Hash of the names and contents of all C files. Stored beside the objects as `sources.sha256`. */
export function sourcesHash(sources: ReadonlyMap<string, Uint8Array>): string {
	const parts = [...sources].sort(([a], [b]) => (a < b ? -1 : 1));
	return hash(...parts.flatMap(([name, text]) => [name, String(text.length), text]));
}

function hash(...parts: readonly (string | Uint8Array)[]): string {
	const sha = createHash('sha256');
	for (const part of parts) sha.update(part).update('\0');
	return sha.digest('hex');
}

async function readSources(directory: string): Promise<Map<string, Uint8Array>> {
	const names = await readdir(directory).catch((): string[] => []);
	const wanted = names.filter((name) => /\.[ch]$/.test(name));
	return new Map(
		await Promise.all(wanted.map(async (name) => [name, await readFile(join(directory, name))] as const)),
	);
}

function filesIn(directory: string): Record<ObjectName, string> {
	const path = (name: ObjectName) => join(directory, `${name}.bpf.o`);
	return { xdp: path('xdp'), tc: path('tc'), tc_l3: path('tc_l3'), sock: path('sock') };
}

/**
 * User ids that may write to the cache: root, this user and the owner of the sources, who is
 * trusted anyway.
 * @throws Error for a cache that other users can write to.
 */
async function cacheOwners({ cache, sources }: CompileOptions): Promise<number[]> {
	const owners = [...trustedOwners(), (await stat(sources)).uid];
	// create before checking, so that no other user can create it in between; compileInto() reports
	// the cause of a failed mkdir
	await mkdir(cache, { recursive: true, mode: 0o700 }).catch(() => {});
	closeToOthers(cache);
	const fault = distrustedItself(cache, owners);
	if (fault) throw distrustError('use the cache of BPF objects', fault);
	return owners;
}

/** Whether only the owners can write, and could have written, the objects in the directory. */
function isOurs(directory: string, owners: readonly number[]): boolean {
	const files = Object.values(filesIn(directory));
	return [directory, ...files].every((path) => distrustedItself(path, owners) === undefined);
}

async function isComplete(directory: string): Promise<boolean> {
	const there = (path: string) =>
		stat(path).then(
			({ size }) => size > 0,
			() => false,
		);
	return (await Promise.all(Object.values(filesIn(directory)).map(there))).every(Boolean);
}

/**
 * Compiles into a temporary directory and renames it, so that a concurrent agent never sees a
 * partial result.
 */
async function compileInto(
	directory: string,
	options: CompileOptions,
	clang: Clang,
	sources: ReadonlyMap<string, Uint8Array>,
	signal?: AbortSignal,
): Promise<void> {
	const beside = `${directory}.${randomUUID()}`;
	try {
		await mkdir(beside, { recursive: true, mode: 0o700 });
	} catch (cause) {
		throw new Error(`Cannot make the cache directory ${options.cache}; choose another with --bpf-cache`, {
			cause,
		});
	}
	try {
		const compile = ([name, object]: [string, string]) =>
			compileFile(clang, options.sources, join(options.sources, `${name}.bpf.c`), object, signal);
		// wait for all compilers before the directory is removed, even if one failed
		const results = await Promise.allSettled(Object.entries(filesIn(beside)).map(compile));
		const failed = results.find((result) => result.status === 'rejected');
		if (failed) throw failed.reason;
		for (const object of Object.values(filesIn(beside))) await chmod(object, OBJECT_MODE);
		await writeFile(join(beside, SOURCES_FILE), `${sourcesHash(sources)}\n`);
		if (!(await isComplete(directory))) await rm(directory, { recursive: true, force: true });
		await rename(beside, directory).catch((cause: NodeJS.ErrnoException) => {
			if (cause.code !== 'ENOTEMPTY' && cause.code !== 'EEXIST') throw cause;
		});
	} finally {
		await rm(beside, { recursive: true, force: true });
	}
}

/**
 * Keeps the most recently used directories. Ignores those that another agent removes at the same
 * time.
 */
async function removeOld(cache: string): Promise<void> {
	const names = (await readdir(cache)).filter((name) => /^[0-9a-f]{32}$/.test(name));
	const aged = await Promise.all(
		names.map(async (name) => ({
			name,
			used: await stat(join(cache, name)).then(
				(s) => s.mtimeMs,
				() => 0,
			),
		})),
	);
	const old = aged.sort((a, b) => b.used - a.used).slice(KEPT);
	await Promise.all(old.map(({ name }) => rm(join(cache, name), { recursive: true, force: true })));
}

/** The shipped objects, and the hash of the sources that they were compiled from. */
async function findShipped(directory: string | undefined) {
	if (!directory || !(await isComplete(directory))) return undefined;
	const recorded = await readFile(join(directory, SOURCES_FILE), 'utf8').catch(() => '');
	const note = 'there is no clang; the sources differ from those of the shipped objects';
	const objects: BpfObjects = { origin: 'shipped', directory, files: filesIn(directory), note };
	return { hash: recorded.trim(), objects };
}
