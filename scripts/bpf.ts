/**
 * Compiles the BPF programs into .cache/bpf, and copies them to a directory if given:
 * scripts/bpf.ts [directory]
 */
import { cp } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { bpfObjects } from '../agent/bpf/compile.ts';

const root = resolve(import.meta.dirname, '..');
const [target] = process.argv.slice(2);

try {
	const objects = await bpfObjects({ sources: join(root, 'bpf'), cache: join(root, '.cache/bpf') });
	for (const file of Object.values(objects.files))
		console.log(`${objects.origin}  ${relative(process.cwd(), file)}`);
	if (target) {
		await cp(objects.directory, target, { recursive: true });
		console.log(`copied    ${target}`);
	}
} catch (error) {
	console.error(error instanceof Error ? error.message : error);
	process.exitCode = 1;
}
