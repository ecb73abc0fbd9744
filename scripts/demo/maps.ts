/** Prints an excerpt of the kernel's maps with bpftool, which is independent of this program. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import pc from 'picocolors';

const LINES = 24;

/** @param directory the pins of one node */
export function showMaps(directory: string): void {
	const version = existsSync(directory)
		? readdirSync(directory).find((name) => /^v\d+$/.test(name))
		: undefined;
	if (version === undefined) {
		console.log(`No pinned maps in ${directory}`);
		return;
	}
	const map = join(directory, version, 'frontends');
	console.log(pc.bold(`bpftool map dump pinned ${map}`));
	const { stdout, stderr, error } = spawnSync('bpftool', ['map', 'dump', 'pinned', map], {
		encoding: 'utf8',
	});
	if (error || !stdout) {
		console.log(`  ${error?.message ?? stderr.trim()}`);
		return;
	}
	// bpftool splits every byte array over two lines
	const lines = stdout
		.trimEnd()
		.replace(/\[([\d,]+)\s+\]/g, '[$1]')
		.split('\n');
	for (const line of lines.slice(0, LINES)) console.log(pc.dim(`  ${line}`));
	if (lines.length > LINES) console.log(pc.dim(`  ... ${lines.length - LINES} lines more`));
}
