/** Finds clang, builds its command line and reports its errors. */
import { execFile } from 'node:child_process';
import { relative } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Warnings are errors: the verifier would reject the same code later with a less readable message.
 */
const FLAGS = ['-O2', '-g', '-Wall', '-Wextra', '-Werror', '-target', 'bpf', '-mcpu=v3'] as const;
const LONGEST_COMPILE_MS = 120_000;

export interface Clang {
	/** Command as given: a name to look up in PATH, or a path. */
	readonly command: string;
	/** First line of `clang --version`. */
	readonly version: string;
	/**
	 * `-idirafter` for each directory that the host C compiler searches. linux/types.h needs the
	 * multiarch directory.
	 */
	readonly includes: readonly string[];
}

/** @returns undefined when clang is not installed. @throws Error when it fails to run. */
export async function findClang(command = 'clang', signal?: AbortSignal): Promise<Clang | undefined> {
	try {
		const [version, search] = await Promise.all([
			run(command, ['--version'], { signal }),
			run(command, ['-v', '-E', '-x', 'c', '/dev/null'], { signal }),
		]);
		return {
			command,
			version: version.stdout.split('\n', 1)[0]!,
			includes: searchList(search.stderr).flatMap((path) => ['-idirafter', path]),
		};
	} catch (cause) {
		signal?.throwIfAborted();
		if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
		throw new Error(`Cannot run ${command}; install clang 12 or later, or use the shipped objects`, {
			cause,
		});
	}
}

/** The directories that `clang -v -E` lists for `#include <...>`, in clang's order. */
export function searchList(output: string): string[] {
	const [, list = ''] =
		/search starts here:\n#include <\.\.\.> search starts here:\n([\s\S]*?)End of search list/.exec(output) ??
		[];
	return list
		.split('\n')
		.map((line) => line.trim())
		.filter((line) => line !== '');
}

/** Arguments for clang that compile `source` in `directory` to `object`. */
export function compileArguments(clang: Clang, directory: string, source: string, object: string): string[] {
	// the object must contain no local path, so that equal sources compile to equal bytes
	const prefix = `-ffile-prefix-map=${directory}=bpf`;
	return [...FLAGS, ...clang.includes, `-I${directory}`, prefix, '-c', source, '-o', object];
}

/** Arguments for clang that check whether a header compiles without any other include. */
export function headerArguments(clang: Clang, directory: string, header: string): string[] {
	const nothing = ['-x', 'c', '/dev/null'];
	return [...FLAGS, ...clang.includes, `-I${directory}`, '-fsyntax-only', '-include', header, ...nothing];
}

/** The inputs beside the sources that determine the object: compiler version and flags. */
export function compilerIdentity(clang: Clang): string {
	return [clang.version, ...FLAGS].join(' ');
}

/** @throws Error with clang's output and the full command line, for a manual retry. */
export async function compileFile(
	clang: Clang,
	directory: string,
	source: string,
	object: string,
	signal?: AbortSignal,
): Promise<void> {
	const args = compileArguments(clang, directory, source, object);
	try {
		await run(clang.command, args, {
			cwd: directory,
			signal,
			timeout: LONGEST_COMPILE_MS,
			maxBuffer: 1 << 24,
		});
	} catch (cause) {
		signal?.throwIfAborted();
		const { stderr = '', code } = cause as { stderr?: string; code?: number | string };
		const name = relative(`${directory}/..`, source);
		const command = [clang.command, ...args].join(' ');
		throw new Error(`Cannot compile ${name}: clang ended with ${code}\n${command}\n${stderr.trimEnd()}`, {
			cause,
		});
	}
}
