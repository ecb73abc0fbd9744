/**
 * The import rules of the rooms (docs/architecture.md): the core does no input or output, edges do
 * not import each other, only composition imports everything. No module imports itself through
 * others, not even types.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Imports that a folder may have besides its own files. A folder's name allows its files, not those
 * of its subfolders.
 */
interface Room {
	/** Folders and files. */
	readonly from: readonly string[];
	/** Folders and files of which it may import types only. */
	readonly types?: readonly string[];
	/** npm packages; absent: none. */
	readonly packages?: readonly string[];
	/** No input or output: it imports no module of Node. */
	readonly pure?: true;
}

/**
 * Network namespaces and terminals need the FFI of the agent, which also checks who can change a
 * directory.
 */
const SYSTEM = ['agent/bpf/netns.ts', 'agent/bpf/pty.ts', 'agent/bpf/trusted.ts'];
/** Objects, and operations on them, for all of standalone. */
const OBJECTS = ['standalone/port.ts', 'standalone/timestamp.ts', 'standalone/warning-event.ts'];

export const ROOMS: Readonly<Record<string, Room>> = {
	// the core
	'agent/base': { from: [], pure: true },
	'agent/model': { from: [], pure: true },
	'agent/maglev': { from: [], pure: true },
	'agent/abi': { from: [], pure: true },
	'agent/plan': {
		from: ['agent/abi', 'agent/maglev', 'agent/model'],
		types: ['agent/bpf/port.ts'],
		pure: true,
	},
	// edges
	'agent/bpf/ffi': { from: [], types: ['agent/base'], packages: ['koffi', 'ffi-napi', 'ref-napi'] },
	'agent/bpf': { from: ['agent/abi', 'agent/bpf/ffi', 'agent/model'], types: ['agent/base'] },
	'agent/kube': { from: ['agent/base'], packages: ['@kubernetes/client-node', 'yaml'] },
	'agent/http': { from: [], types: ['agent/base'], packages: ['prom-client'] },
	'agent/dns': { from: ['agent/model'], types: ['agent/base'], packages: ['dns-packet', 'prom-client'] },
	// the loop and its features
	'agent/loop': {
		from: ['agent/abi', 'agent/http/metrics.ts', 'agent/model', 'agent/plan'],
		types: ['agent/base', 'agent/bpf/port.ts', 'agent/kube/transport.ts'],
	},
	'agent/features': {
		from: ['agent/abi', 'agent/model', 'agent/plan'],
		types: ['agent/base', 'agent/bpf/port.ts', 'agent/bpf/sock-destroy.ts', 'agent/loop'],
	},
	// command line
	'agent/cli': {
		from: ['agent/abi', 'agent/base', 'agent/config.ts', 'agent/model'],
		types: ['agent/bpf/port.ts'],
		packages: ['commander', 'picocolors', 'yaml'],
	},
	// composition
	'agent/compose': {
		from: [
			...[
				'agent/abi',
				'agent/base',
				'agent/bpf',
				'agent/cli',
				'agent/config.ts',
				'agent/dns',
				'agent/features',
			],
			...['agent/http', 'agent/kube', 'agent/loop', 'agent/model'],
		],
		types: ['agent/bpf/ffi'],
		packages: ['pino', 'prom-client'],
	},
	agent: {
		from: [
			...[
				'agent/abi',
				'agent/bpf',
				'agent/bpf/ffi',
				'agent/cli',
				'agent/compose',
				'agent/kube',
				'agent/model',
			],
			...['standalone/cli.ts', 'package.json'],
		],
		packages: ['yaml', 'zod'],
	},
	// the standalone cluster
	standalone: {
		from: ['agent/base', 'standalone/cluster', 'standalone/node'],
		packages: ['commander', 'picocolors', 'yaml'],
	},
	'standalone/alloc': { from: ['standalone/api', ...OBJECTS], packages: ['ipaddr.js'] },
	'standalone/api': {
		from: [
			...['standalone/alloc', 'standalone/api/defaults', 'standalone/api/http', 'standalone/api/schema'],
			...['standalone/api/validate', 'standalone/auth', ...OBJECTS],
		],
	},
	'standalone/api/defaults': { from: OBJECTS },
	'standalone/api/http': {
		from: [
			...['standalone/api', 'standalone/api/patch', 'standalone/api/protobuf', 'standalone/api/schema'],
			...['standalone/api/table', 'standalone/auth', ...OBJECTS],
		],
		packages: ['ws', 'yaml'],
	},
	'standalone/api/patch': { from: ['standalone/api', ...OBJECTS] },
	'standalone/api/protobuf': { from: ['standalone/api'] },
	'standalone/api/schema': { from: ['standalone/api', ...OBJECTS] },
	'standalone/api/table': { from: ['standalone/api', ...OBJECTS] },
	'standalone/api/validate': { from: ['standalone/alloc', 'standalone/api', ...OBJECTS] },
	'standalone/auth': {
		from: ['standalone/api', 'standalone/controllers/selector.ts', ...OBJECTS],
		packages: ['@peculiar/x509', 'jose', 'reflect-metadata', 'yaml'],
	},
	'standalone/controllers': {
		from: ['agent/base', 'standalone/alloc', 'standalone/lb', ...OBJECTS],
		packages: ['pino'],
	},
	'standalone/lb': {
		from: ['standalone/alloc', 'standalone/controllers', 'standalone/net', ...OBJECTS],
		types: ['agent/base', 'agent/bpf/netns.ts'],
		packages: ['pino'],
	},
	'standalone/net': { from: [...SYSTEM] },
	'standalone/podserver': { from: ['standalone/node/log-file.ts', 'standalone/unix-path.ts', ...SYSTEM] },
	'standalone/node': {
		from: [
			...['agent/model/service-env.ts', 'standalone/api', 'standalone/net', 'standalone/podserver'],
			...['standalone/unix-path.ts', ...OBJECTS, ...SYSTEM],
		],
		packages: ['pino'],
	},
	'standalone/cluster': {
		from: [
			...[
				'agent/base',
				'agent/dns/address.ts',
				'agent/dns/name-server.ts',
				'agent/model',
				'standalone/alloc',
			],
			...['standalone/api', 'standalone/auth', 'standalone/controllers', 'standalone/lb', 'standalone/net'],
			...['standalone/node', 'standalone/podserver', 'standalone/unix-path.ts', ...OBJECTS, ...SYSTEM],
		],
		packages: ['pino', 'yaml'],
	},
};

export interface Import {
	readonly line: number;
	readonly specifier: string;
	readonly typeOnly: boolean;
}

/** The import and export-from statements of a module, and its import() calls with a literal. */
export function importsOf(text: string): Import[] {
	const statement =
		/^\s*(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm;
	return [...text.matchAll(statement)].map((match) => ({
		line: text.slice(0, match.index + match[0].length).split('\n').length,
		specifier: (match[2] ?? match[3])!,
		typeOnly: match[1] !== undefined,
	}));
}

/** The reason why this import is not allowed, or undefined. @param file relative to the project */
export function importProblem(file: string, { specifier, typeOnly }: Import): string | undefined {
	const folder = dirname(file);
	const room = ROOMS[folder];
	if (!room)
		return `${folder} is not among the rooms of scripts/check/imports.ts: say there what it may import`;
	if (specifier.startsWith('.')) return relativeProblem(folder, room, join(folder, specifier), typeOnly);
	const name = specifier
		.split('/')
		.slice(0, specifier.startsWith('@') ? 2 : 1)
		.join('/');
	if (typeOnly) return undefined;
	if (room.pure) return `${folder} is pure: it imports no ${specifier}`;
	if (name.startsWith('node:') || room.packages?.includes(name)) return undefined;
	const owners = Object.keys(ROOMS).filter((other) => ROOMS[other]!.packages?.includes(name));
	return owners.length > 0
		? `only ${owners.join(', ')} may import ${name}`
		: `${folder} may not import ${name}`;
}

function relativeProblem(folder: string, room: Room, target: string, typeOnly: boolean): string | undefined {
	const allows = (list: readonly string[] = []) => list.includes(target) || list.includes(dirname(target));
	if (dirname(target) === folder || allows(room.from) || (typeOnly && allows(room.types))) return undefined;
	return allows(room.types)
		? `${folder} may import types only from ${target}`
		: `${folder} may not import ${target}`;
}

/**
 * The sets of modules that import each other in a circle, also of types.
 * @param graph each module's imports
 */
export function importCycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
	const order: string[] = [];
	const seen = new Set<string>();
	const callers = new Map<string, string[]>();
	for (const [module, targets] of graph)
		for (const target of targets) callers.set(target, [...(callers.get(target) ?? []), module]);
	walk(
		graph.keys(),
		seen,
		(module) => graph.get(module) ?? [],
		(module) => order.push(module),
	);
	const cycles: string[][] = [];
	const placed = new Set<string>();
	for (const root of order.reverse()) {
		const members: string[] = [];
		walk(
			[root],
			placed,
			(module) => callers.get(module) ?? [],
			(module) => members.push(module),
		);
		if (members.length > 1 || graph.get(root)?.includes(root)) cycles.push(members.sort());
	}
	return cycles;
}

/** Depth first, each module once: calls `left` with a module after all that it imports. */
function walk(
	roots: Iterable<string>,
	seen: Set<string>,
	next: (module: string) => readonly string[],
	left: (module: string) => void,
): void {
	const visit = (module: string): void => {
		if (seen.has(module)) return;
		seen.add(module);
		for (const target of next(module)) visit(target);
		left(module);
	};
	for (const root of roots) visit(root);
}

/** One line per problem, `file:line: problem`. @param root the project's directory */
export function importProblems(root: string): string[] {
	const files = ['agent', 'standalone'].flatMap((top) =>
		readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
			.filter((file) => file.endsWith('.ts'))
			.map((file) => join(top, file)),
	);
	const graph = new Map<string, readonly string[]>();
	const problems = files.sort().flatMap((file) => {
		const text = readFileSync(join(root, file), 'utf8');
		const imports = importsOf(text);
		const relative = imports.filter(({ specifier }) => specifier.startsWith('.'));
		graph.set(
			file,
			relative.map(({ specifier }) => join(dirname(file), specifier)),
		);
		const refused = imports.flatMap((entry) => {
			const problem = importProblem(file, entry);
			return problem ? [`${file}:${entry.line}: ${problem}`] : [];
		});
		const environment = file !== 'agent/config.ts' && /\bprocess\.env\b/.test(text);
		return environment ? [...refused, `${file}: only agent/config.ts reads process.env`] : refused;
	});
	const cycles = importCycles(graph).map((cycle) => `these import each other: ${cycle.join(', ')}`);
	return [...problems, ...cycles];
}
