/**
 * Bundles the agent into one file and copies the native modules beside it: scripts/bundle.ts
 * <directory> [--packages]. With --packages it prints the npm packages in the bundle.
 */
import { chmod, cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const root = resolve(import.meta.dirname, '..');
const [target, print] = process.argv.slice(2);

/** Native code, loaded from node_modules at run time. */
const NATIVE = ['koffi', 'ffi-napi', 'ref-napi'];

/** CommonJS parts of the bundle call require(), which does not exist in a module. */
const REQUIRE =
	"import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);";

const LAUNCHER = `#!/bin/sh
exec node "$(dirname "$(readlink -f "$0")")/../dist/agent/main.js" "$@"
`;

/** Copied, not bundled. */
const COPIED = ['koffi', '@koromix'];

/** Fills the directory. @returns names of the npm packages in it */
async function bundle(directory: string): Promise<string[]> {
	const { warnings, metafile } = await build({
		entryPoints: [join(root, 'agent/main.ts')],
		// two directories down, as in the source tree: the agent finds bpf/ and dist/bpf/ relative to
		// its file
		outfile: join(directory, 'dist/agent/main.js'),
		bundle: true,
		platform: 'node',
		format: 'esm',
		target: 'node24',
		// the standalone cluster needs the source tree: it starts parts of itself as processes
		external: [...NATIVE, '../standalone/*'],
		banner: { js: REQUIRE },
		metafile: true,
		sourcemap: 'linked',
		sourcesContent: false,
		logLevel: 'warning',
	});
	if (warnings.length > 0) throw new Error('Cannot bundle the agent without warnings');
	for (const name of COPIED)
		await cp(join(root, 'node_modules', name), join(directory, 'node_modules', name), {
			recursive: true,
			filter: (source) => !/\/koffi\/(vendor|doc)$/.test(source),
		});
	await mkdir(join(directory, 'bin'), { recursive: true });
	await writeFile(join(directory, 'bin/maglane'), LAUNCHER);
	await chmod(join(directory, 'bin/maglane'), 0o755);
	await cp(join(root, 'package.json'), join(directory, 'package.json'));
	const bundled = Object.keys(metafile.inputs).flatMap((path) => packageOf(path) ?? []);
	return [...new Set([...bundled, ...(await copiedPackages(directory))])].sort();
}

/** Name of the npm package that a file is in; undefined: it is in none. */
function packageOf(path: string): string | undefined {
	const inside = path.split('node_modules/').at(-1)!;
	if (inside === path) return undefined;
	return inside
		.split('/')
		.slice(0, inside.startsWith('@') ? 2 : 1)
		.join('/');
}

async function copiedPackages(directory: string): Promise<string[]> {
	const modules = join(directory, 'node_modules');
	const scoped = COPIED.filter((name) => name.startsWith('@'));
	const inScopes = await Promise.all(
		scoped.map(async (scope) => (await readdir(join(modules, scope))).map((name) => `${scope}/${name}`)),
	);
	return [...COPIED.filter((name) => !name.startsWith('@')), ...inScopes.flat()];
}

if (target) {
	const packages = await bundle(resolve(target));
	if (print === '--packages') console.log(packages.join('\n'));
} else {
	console.error('Usage: scripts/bundle.ts <directory> [--packages]');
	process.exitCode = 2;
}
