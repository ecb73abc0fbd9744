/**
 * BPF objects for this machine: those that were shipped when the sources are still theirs, else compiled with clang and
 * kept by content hash. Runs child processes; nothing here blocks the event loop.
 */
import { createHash, randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clang, compileFile, compilerIdentity, findClang } from './clang.ts';
import { closeToOthers, distrustError, distrustedItself, trustedOwners } from './trusted.ts';

/** The objects of the dataplane, in the order of loading. */
export const OBJECT_NAMES = ['xdp', 'tc', 'sock'] as const;
export type ObjectName = (typeof OBJECT_NAMES)[number];

const SOURCES_FILE = 'sources.sha256';
/** Whatever the umask was. */
const OBJECT_MODE = 0o644;
/** Agents of different versions may share a cache. */
const KEPT = 4;

export interface CompileOptions {
	/** Directory of the C files. */
	readonly sources: string;
	/** Directory that results are kept in, one sub-directory a content hash. Made when absent. */
	readonly cache: string;
	/** Directory of objects that came with the agent. */
	readonly shipped?: string;
	/** Default clang. */
	readonly clang?: string;
}

export interface BpfObjects {
	readonly origin: 'compiled' | 'cached' | 'shipped';
	readonly directory: string;
	/** Path of `<name>.bpf.o`. */
	readonly files: Readonly<Record<ObjectName, string>>;
	/** What the compiler was, or why it was not used. */
	readonly note: string;
}

/**
 * The objects for these sources.
 * @throws Error with clang's output when a source does not compile; when there is neither clang nor a shipped object;
 * when another user can write into the cache: the kernel gets what lies there.
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
		// the age decides what is removed; a cache that is read-only needs no removal
		await utimes(directory, now, now).catch(() => {});
		return { origin: 'cached', directory, files: filesIn(directory), note: clang.version };
	}
	if (!ours) await rm(directory, { recursive: true, force: true });
	await compileInto(directory, options, clang, sources, signal);
	await removeOld(options.cache);
	return { origin: 'compiled', directory, files: filesIn(directory), note: clang.version };
}

/** Hash of the names and contents of all C files; recorded beside the objects as `sources.sha256`. */
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
	return { xdp: path('xdp'), tc: path('tc'), sock: path('sock') };
}

/**
 * Who may have written into the cache: besides root and this user whoever owns the sources, which are believed anyhow.
 * @throws Error for a cache that others can write into.
 */
async function cacheOwners({ cache, sources }: CompileOptions): Promise<number[]> {
	const owners = [...trustedOwners(), (await stat(sources)).uid];
	// made before it is judged: between the two another user could make it; compileInto() tells why it cannot be made
	await mkdir(cache, { recursive: true, mode: 0o700 }).catch(() => {});
	closeToOthers(cache);
	const fault = distrustedItself(cache, owners);
	if (fault) throw distrustError('use the cache of BPF objects', fault);
	return owners;
}

/** Whether only the owners can have written, and can write, the objects there. */
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

/** Compiled beside, then renamed: another agent that does the same never sees half of it. */
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
		// all have ended before the directory goes, also when one failed
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

/** Keeps the directories that were used last. What another agent removes meanwhile is as good as removed. */
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

/** Objects that came with the agent, and the hash of what they were made of. */
async function findShipped(directory: string | undefined) {
	if (!directory || !(await isComplete(directory))) return undefined;
	const recorded = await readFile(join(directory, SOURCES_FILE), 'utf8').catch(() => '');
	const note = 'there is no clang; the sources differ from those of the shipped objects';
	const objects: BpfObjects = { origin: 'shipped', directory, files: filesIn(directory), note };
	return { hash: recorded.trim(), objects };
}
