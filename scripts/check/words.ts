/** Checks that no file in the repository names the machine that it was written on. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const PUBLIC_REGISTRY = 'registry.npmjs.org';

/** The host of this machine's npm registry, if it is a private one. */
function ownRegistry(root: string): string | undefined {
	try {
		const url = execFileSync('npm', ['config', 'get', 'registry'], {
			cwd: root,
			encoding: 'utf8',
			stdio: 'pipe',
		});
		const { hostname } = new URL(url.trim());
		return hostname === PUBLIC_REGISTRY ? undefined : hostname;
	} catch {
		return undefined;
	}
}

const escaped = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** Forbidden patterns, each with a description. A root such as /app identifies no machine. */
export function forbidden(root: string, home: string, registry: string | undefined): [RegExp, string][] {
	const path = (directory: string) => new RegExp(`(?<![\\w.-])${escaped(directory)}(?![\\w-])`);
	const deep = (directory: string) => directory.split('/').filter(Boolean).length >= 2;
	return [
		...(deep(root) ? [[path(root), 'the path of this work tree'] as [RegExp, string]] : []),
		...(deep(home) ? [[path(home), 'a home directory'] as [RegExp, string]] : []),
		...(registry
			? [[new RegExp(escaped(registry)), 'the host of a private registry'] as [RegExp, string]]
			: []),
	];
}

/** One line per file and forbidden name. @throws Error without git. */
export function wordProblems(root: string): string[] {
	const words = forbidden(root, homedir(), ownRegistry(root));
	const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
		.split('\0')
		.filter(Boolean);
	return files.flatMap((file) => {
		const text = readText(join(root, file));
		return words.filter(([word]) => word.test(text)).map(([, name]) => `${file}: names ${name}`);
	});
}

/** Empty for a listed file that was removed. */
function readText(path: string): string {
	try {
		return readFileSync(path, 'utf8');
	} catch {
		return '';
	}
}
