import {
	chmod,
	chown,
	mkdir,
	mkdtemp,
	readdir,
	readFile,
	rm,
	stat,
	symlink,
	utimes,
	writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findClang, searchList } from '../../agent/bpf/clang.ts';
import { bpfObjects, sourcesHash } from '../../agent/bpf/compile.ts';

/** A fake compiler in shell. The tests check when it is called, and with which arguments. */
const COMPILER = `#!/bin/sh
case " $* " in
*" --version "*) echo "clang version 99.0"; exit ;;
*" -E "*) printf '#include "..." search starts here:\\n#include <...> search starts here:\\n /usr/include\\nEnd of search list.\\n' >&2; exit ;;
esac
echo "$@" >>"$(dirname "$0")/calls"
for last; do :; done
source=$(echo "$*" | sed 's/.* -c //; s/ .*//')
if grep -q nonsense "$source"; then echo "tc.bpf.c:1:1: error: unknown type name 'nonsense'" >&2; exit 1; fi
echo object >"$last"
`;

describe('bpfObjects()', () => {
	let folder: string;
	let options: { sources: string; cache: string; shipped: string; clang: string };

	beforeEach(async () => {
		folder = await mkdtemp(join(tmpdir(), 'mld-compile-'));
		options = {
			sources: join(folder, 'bpf'),
			cache: join(folder, 'cache'),
			shipped: join(folder, 'dist'),
			clang: join(folder, 'clang'),
		};
		await mkdir(options.sources);
		for (const name of ['xdp', 'tc', 'tc_l3', 'sock'])
			await writeFile(join(options.sources, `${name}.bpf.c`), name);
		await writeFile(join(options.sources, 'abi.h'), '');
		await writeFile(options.clang, COMPILER, { mode: 0o755 });
	});
	afterEach(() => rm(folder, { recursive: true }));

	const calls = async () => {
		const text = await readFile(join(folder, 'calls'), 'utf8').catch(() => '');
		return text.split('\n').filter(Boolean).length;
	};
	const ship = async (hash: string) => {
		await mkdir(options.shipped);
		for (const name of ['xdp', 'tc', 'tc_l3', 'sock'])
			await writeFile(join(options.shipped, `${name}.bpf.o`), 'shipped');
		await writeFile(join(options.shipped, 'sources.sha256'), `${hash}\n`);
	};

	it('compiles once for the same sources and compiler, and takes the cache from then on', async () => {
		const first = await bpfObjects(options);
		const second = await bpfObjects(options);
		expect(first.origin).toBe('compiled');
		expect(second).toEqual({ ...first, origin: 'cached' });
		expect(await calls()).toBe(4);
		expect(await readFile(first.files.sock, 'utf8')).toBe('object\n');
	});

	it('compiles anew when a header, the compiler or the set of files changes', async () => {
		const directories = new Set([(await bpfObjects(options)).directory]);
		await writeFile(join(options.sources, 'abi.h'), '#define MAGLANE_ABI 2\n');
		directories.add((await bpfObjects(options)).directory);
		await writeFile(join(options.sources, 'new.h'), '');
		directories.add((await bpfObjects(options)).directory);
		await writeFile(options.clang, COMPILER.replace('99.0', '99.1'), { mode: 0o755 });
		directories.add((await bpfObjects(options)).directory);
		expect(directories.size).toBe(4);
	});

	it('does not trust a result that is incomplete', async () => {
		const { directory, files } = await bpfObjects(options);
		await rm(files.tc);
		expect((await bpfObjects(options)).origin).toBe('compiled');
		expect(await readdir(directory)).toContain('tc.bpf.o');
	});

	it('closes a cache that others can write into, and keeps what is its own there', async () => {
		await mkdir(options.cache);
		await chmod(options.cache, 0o777);
		const { directory, files } = await bpfObjects(options);
		const modes = await Promise.all(
			[options.cache, directory, files.xdp].map(async (path) => (await stat(path)).mode),
		);
		expect(modes.map((mode) => mode & 0o777)).toEqual([0o755, 0o700, 0o644]);
		expect((await bpfObjects(options)).origin).toBe('cached');
	});

	it.each(['directory', 'object'])(
		'compiles again in place of a result whose %s others can write',
		async (what) => {
			const { directory, files } = await bpfObjects(options);
			await writeFile(files.tc, 'of another user');
			await chmod(what === 'object' ? files.tc : directory, 0o777);
			expect((await bpfObjects(options)).origin).toBe('compiled');
			expect(await readFile(files.tc, 'utf8')).toBe('object\n');
		},
	);

	const unprivileged = { skip: process.getuid?.() !== 0 };
	it('never gives the kernel what another user put there', unprivileged, async () => {
		const { directory, files } = await bpfObjects(options);
		await chown(files.tc, 65_534, 65_534);
		expect((await bpfObjects(options)).origin).toBe('compiled');
		await chown(directory, 65_534, 65_534);
		expect((await bpfObjects(options)).origin).toBe('compiled');
		await chown(options.cache, 65_534, 65_534);
		await expect(bpfObjects(options)).rejects.toThrow(
			`Cannot use the cache of BPF objects: ${options.cache} belongs to user 65534`,
		);
		// the owner of the sources controls the objects anyway
		await chown(options.sources, 65_534, 65_534);
		expect((await bpfObjects(options)).origin).toBe('cached');
	});

	it('takes no link for its cache', async () => {
		await mkdir(join(folder, 'elsewhere'));
		await symlink(join(folder, 'elsewhere'), options.cache);
		await expect(bpfObjects(options)).rejects.toThrow(/cache is a symbolic link/);
	});

	it("names the file, the command and the compiler's words when a source is wrong, and leaves nothing", async () => {
		await writeFile(join(options.sources, 'tc.bpf.c'), 'nonsense');
		const failure = await bpfObjects(options).catch((error: Error) => error.message);
		expect(failure).toMatch(/^Cannot compile bpf\/tc\.bpf\.c: clang ended with 1\n/);
		expect(failure).toContain('-target bpf -mcpu=v3');
		expect(failure).toContain("tc.bpf.c:1:1: error: unknown type name 'nonsense'");
		expect(await readdir(options.cache)).toEqual([]);
	});

	it('gives two callers at once the same complete result', async () => {
		const [a, b] = await Promise.all([bpfObjects(options), bpfObjects(options)]);
		expect(a.directory).toBe(b.directory);
		expect(await readdir(options.cache)).toHaveLength(1);
	});

	it('keeps the results that were used last', async () => {
		await mkdir(options.cache);
		for (let i = 0; i < 6; i++) {
			const old = join(options.cache, String(i).repeat(32));
			await mkdir(old);
			await utimes(old, i, i);
		}
		const { directory } = await bpfObjects(options);
		const left = (await readdir(options.cache)).sort();
		expect(left).toEqual(
			['3', '4', '5']
				.map((i) => i.repeat(32))
				.concat(directory.slice(-32))
				.sort(),
		);
	});

	it('takes the shipped objects when the sources are theirs, compiler or not', async () => {
		const names = ['xdp.bpf.c', 'tc.bpf.c', 'tc_l3.bpf.c', 'sock.bpf.c', 'abi.h'];
		const read = async (name: string) => [name, await readFile(join(options.sources, name))] as const;
		await ship(sourcesHash(new Map(await Promise.all(names.map(read)))));
		expect(await bpfObjects(options)).toMatchObject({ origin: 'shipped', directory: options.shipped });
		expect(await calls()).toBe(0);
	});

	it('takes other shipped objects only without a compiler, and says so', async () => {
		await ship('of other sources');
		expect((await bpfObjects(options)).origin).toBe('compiled');
		const { origin, note } = await bpfObjects({ ...options, clang: join(folder, 'no-clang') });
		expect({ origin, note }).toEqual({ origin: 'shipped', note: expect.stringContaining('differ') });
	});

	it('says what to install when there is neither', async () => {
		await expect(bpfObjects({ ...options, clang: join(folder, 'no-clang') })).rejects.toThrow(
			'install clang',
		);
	});

	it('stops with its signal', async () => {
		await expect(bpfObjects(options, AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped');
	});
});

describe('findClang()', () => {
	it('gives undefined where there is none', async () => {
		expect(await findClang('/nonexistent/clang')).toBeUndefined();
	});
});

describe('searchList()', () => {
	it('reads the directories between the lines of clang', () => {
		const output = [
			'clang version 14',
			'#include "..." search starts here:',
			'#include <...> search starts here:',
			' /usr/lib/clang/14/include',
			' /usr/include/x86_64-linux-gnu',
			'End of search list.',
			'# 1 "/dev/null"',
		].join('\n');
		expect(searchList(output)).toEqual(['/usr/lib/clang/14/include', '/usr/include/x86_64-linux-gnu']);
	});

	it('gives none for other output', () => {
		expect(searchList('')).toEqual([]);
	});
});
