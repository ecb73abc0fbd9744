/**
 * Every npm package has a licence that Apache-2.0 programs may use. docs/licences.md lists the
 * packages that users get; `node scripts/check/licences.ts --write` writes that page.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const PAGE = 'docs/licences.md';

/** SPDX identifiers. */
const ALLOWED: ReadonlySet<string> = new Set([
	...['0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'CC0-1.0', 'ISC', 'MIT'],
	...['MIT-0', 'MPL-2.0', 'PSF-2.0', 'Python-2.0', 'Unlicense', 'Zlib'],
]);

export interface Package {
	readonly name: string;
	readonly version: string;
	/** SPDX expression; absent: the package declares none. */
	readonly licence: string | undefined;
	/** Users get it: it is no development dependency, and it installs on Linux. */
	readonly shipped: boolean;
}

/** An entry of package-lock.json. */
interface Locked {
	readonly name?: string;
	readonly version?: string;
	readonly license?: string;
	readonly dev?: boolean;
	/** Absent: all systems. */
	readonly os?: readonly string[];
}

/** Packages by name and version, each once. @param lock content of package-lock.json */
export function packagesOf(lock: { readonly packages: Readonly<Record<string, Locked>> }): Package[] {
	const found = new Map<string, Package>();
	for (const [path, { version = '', license, dev = false, os = ['linux'], ...more }] of Object.entries(
		lock.packages,
	)) {
		if (path === '') continue;
		const name = more.name ?? path.split('node_modules/').at(-1)!;
		const shipped = !dev && os.includes('linux');
		const key = `${name} ${version}`;
		// a package that is installed twice may be a development dependency at one place only
		if (shipped || !found.has(key)) found.set(key, { name, version, licence: license, shipped });
	}
	return [...found.values()].sort((a, b) => order(a.name, b.name) || order(a.version, b.version));
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Whether an SPDX expression allows use: one side of OR, all sides of AND. */
export function isAllowed(expression: string): boolean {
	const text = expression.trim();
	const inner = /\(([^()]*)\)/.exec(text);
	// MIT is allowed, UNLICENSED is not: a group in parentheses becomes one of the two
	if (inner) return isAllowed(text.replace(inner[0], isAllowed(inner[1]!) ? 'MIT' : 'UNLICENSED'));
	return text.split(/\s+OR\s+/).some((side) => side.split(/\s+AND\s+/).every((one) => ALLOWED.has(one)));
}

export function licencesPage(packages: readonly Package[]): string {
	const rows = packages
		.filter(({ shipped }) => shipped)
		.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence ?? 'none'} |`);
	return `${[
		'# Licences of dependencies',
		'',
		'The npm packages that maglane uses at run time on Linux, optional ones included, as',
		'package-lock.json pins them. `node scripts/check/licences.ts --write` writes this page, and',
		'`make check` compares it.',
		'',
		'| Package | Version | Licence |',
		'|---|---|---|',
		...rows,
	].join('\n')}\n`;
}

/** One line for each package without an allowed licence, and one if the page is stale. */
export function licenceProblems(root: string): string[] {
	const packages = lockedPackages(root);
	const refused = packages
		.filter(({ licence }) => !licence || !isAllowed(licence))
		.map(({ name, version, licence }) => `${name} ${version}: licence ${licence ?? 'none'} is not allowed`);
	const stale = readPage(root) !== licencesPage(packages);
	return stale ? [...refused, `${PAGE} is stale: run node scripts/check/licences.ts --write`] : refused;
}

function lockedPackages(root: string): Package[] {
	return packagesOf(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')));
}

function readPage(root: string): string {
	try {
		return readFileSync(join(root, PAGE), 'utf8');
	} catch {
		return '';
	}
}

if (import.meta.main) {
	const root = resolve(import.meta.dirname, '../..');
	if (process.argv.includes('--write')) writeFileSync(join(root, PAGE), licencesPage(lockedPackages(root)));
	const problems = licenceProblems(root);
	for (const problem of problems) console.log(problem);
	process.exitCode = problems.length > 0 ? 1 : 0;
}
