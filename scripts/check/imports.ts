/**
 * Who may import whom (docs/design.md): the core imports no input or output, edges do not import each other, and each
 * foreign library has one importer.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const CORE = new Set(['model', 'maglev', 'plan', 'abi']);
const EDGES = new Set(['bpf', 'kube', 'http', 'dns', 'standalone']);
/** Packages without input or output, for all. */
const PURE_PACKAGES = new Set(['ipaddr.js']);
/** A package, and the one part of agent/ that may import it. */
const ONE_IMPORTER: Readonly<Record<string, string>> = {
	koffi: 'bpf',
	'ffi-napi': 'bpf',
	'ref-napi': 'bpf',
	'@kubernetes/client-node': 'kube',
};
/**
 * What an edge offers to others: types, network namespaces and terminals, which need an FFI, and who can change a
 * directory of pins.
 */
const OFFERED = new Set([
	'bpf/port.ts',
	'bpf/netns.ts',
	'bpf/pty.ts',
	'bpf/trusted.ts',
	'standalone/port.ts',
]);

export interface Import {
	readonly line: number;
	readonly specifier: string;
	readonly typeOnly: boolean;
}

/** The import and export-from statements, and import() calls with a literal, of a module's text. */
export function importsOf(text: string): Import[] {
	const statement =
		/^\s*(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm;
	return [...text.matchAll(statement)].map((match) => ({
		line: text.slice(0, match.index + match[0].length).split('\n').length,
		specifier: (match[2] ?? match[3])!,
		typeOnly: match[1] !== undefined,
	}));
}

/** What is wrong with this import in a file of agent/, or undefined. `file` is relative to agent/. */
export function importProblem(file: string, { specifier, typeOnly }: Import): string | undefined {
	const from = file.includes('/') ? file.split('/', 1)[0]! : '';
	if (specifier.startsWith('.')) return relativeProblem(from, join(dirname(file), specifier), typeOnly);
	const name = specifier.startsWith('@') ? specifier.split('/', 2).join('/') : specifier.split('/', 1)[0]!;
	const owner = ONE_IMPORTER[name];
	if (owner !== undefined && owner !== from) return `only agent/${owner} imports ${name}`;
	if (CORE.has(from) && !PURE_PACKAGES.has(name) && !typeOnly)
		return `agent/${from} is pure: it imports no ${specifier}`;
	return undefined;
}

function relativeProblem(from: string, target: string, typeOnly: boolean): string | undefined {
	const to = target.includes('/') ? target.split('/', 1)[0]! : '';
	if (to === from) return undefined;
	if (CORE.has(from) && !CORE.has(to) && !(typeOnly && OFFERED.has(target)))
		return `agent/${from} is pure: it imports nothing of ${target}`;
	if (EDGES.has(from) && EDGES.has(to) && !OFFERED.has(target))
		return `edges do not import each other: ${target}`;
	if (EDGES.has(from) && to === '') return `an edge is given what it needs, it does not import ${target}`;
	return undefined;
}

/** One line a problem: file:line: what. */
export function importProblems(root: string): string[] {
	const agent = join(root, 'agent');
	const files = readdirSync(agent, { recursive: true, encoding: 'utf8' }).filter((file) =>
		file.endsWith('.ts'),
	);
	return files.sort().flatMap((file) => {
		const text = readFileSync(join(agent, file), 'utf8');
		const where = relative(root, join(agent, file));
		const imports = importsOf(text).flatMap((entry) => {
			const problem = importProblem(file, entry);
			return problem ? [`${where}:${entry.line}: ${problem}`] : [];
		});
		const environment = file !== 'config.ts' && /\bprocess\.env\b/.test(text);
		return environment ? [...imports, `${where}: only agent/config.ts reads process.env`] : imports;
	});
}
