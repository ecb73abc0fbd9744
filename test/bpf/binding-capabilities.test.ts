import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compile, FFIS, workspace } from './binding-setup.ts';

const work = workspace('capabilities');
const child = join(import.meta.dirname, 'binding-capabilities-child.ts');
let objects: string[];

beforeAll(() => {
	objects = [compile('hooks.bpf.c', work.folder), compile('segments.bpf.c', work.folder)];
});
afterAll(() => work.remove());

/** Runs the child in its own network namespace with these capabilities only. */
function run(ffi: string, capabilities: string): string {
	const only = [`--bounding-set=-all,${capabilities}`, `--inh-caps=-all,${capabilities}`];
	const pins = join(work.pins, ffi);
	const command = ['setpriv', ...only, process.execPath, '--no-warnings', child, ffi, ...objects, pins];
	return execFileSync('unshare', ['--net', ...command], { encoding: 'utf8', stdio: 'pipe' });
}

describe.each(FFIS)('the binding by %s', (ffi) => {
	it('needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON only: no object ids', () => {
		const out = run(ffi, '+bpf,+net_admin,+perfmon').trim().split('\n');
		const state = { segments: 1, entries: 16384, retval: 2, right: true };
		expect(out.map((line) => JSON.parse(line) as unknown)).toEqual([
			{ round: 'made', ...state },
			// The namespace is the same, so the child adopts the links. It finds maps and segments by
			// their pins.
			{ round: 'adopted', ...state },
		]);
	});

	it('says which capabilities are missing', () => {
		let message = '';
		try {
			run(ffi, '+net_admin');
		} catch (error) {
			message = String((error as { stderr?: string }).stderr);
		}
		expect(message).toMatch(/Cannot load .*hooks\.bpf\.o: EPERM \(the process needs CAP_BPF, CAP_NET_ADMIN/);
	});
});
