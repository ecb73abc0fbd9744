/** Nothing in the repository names the machine that it was written on. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const PUBLIC_REGISTRY = 'registry.npmjs.org';

/** The host of the npm registry that this machine uses, when it is one of its own. */
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

/** What must not occur, each with a word for it. A root such as /app says nothing about a machine. */
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

/** One line a file that names something. @throws Error without git. */
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

/** Empty for a file that is listed and was removed. */
function readText(path: string): string {
	try {
		return readFileSync(path, 'utf8');
	} catch {
		return '';
	}
}
