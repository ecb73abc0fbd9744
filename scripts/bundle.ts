/**
 * Bundles the agent into one file and copies the native modules beside it: scripts/bundle.ts
 * <directory>
 */
import { chmod, cp, mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const root = resolve(import.meta.dirname, '..');
const [target] = process.argv.slice(2);

/** Native code, loaded from node_modules at run time. */
const NATIVE = ['koffi', 'ffi-napi', 'ref-napi'];

/** CommonJS parts of the bundle call require(), which does not exist in a module. */
const REQUIRE =
	"import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);";

const LAUNCHER = `#!/bin/sh
exec node "$(dirname "$(readlink -f "$0")")/../dist/agent/main.js" "$@"
`;

async function bundle(directory: string): Promise<void> {
	const { warnings } = await build({
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
		sourcemap: 'linked',
		sourcesContent: false,
		logLevel: 'warning',
	});
	if (warnings.length > 0) throw new Error('Cannot bundle the agent without warnings');
	for (const name of ['koffi', '@koromix'])
		await cp(join(root, 'node_modules', name), join(directory, 'node_modules', name), {
			recursive: true,
			filter: (source) => !/\/koffi\/(vendor|doc)$/.test(source),
		});
	await mkdir(join(directory, 'bin'), { recursive: true });
	await writeFile(join(directory, 'bin/maglane'), LAUNCHER);
	await chmod(join(directory, 'bin/maglane'), 0o755);
	await cp(join(root, 'package.json'), join(directory, 'package.json'));
}

if (target) await bundle(resolve(target));
else {
	console.error('Usage: scripts/bundle.ts <directory>');
	process.exitCode = 2;
}
