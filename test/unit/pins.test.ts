import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MAGLANE_ABI } from '../../agent/abi/layout.ts';
import type { Native } from '../../agent/bpf/ffi/library.ts';
import { openPins } from '../../agent/compose/pins.ts';

let path: string;
beforeEach(() => {
	path = mkdtempSync(join(tmpdir(), 'maglane-pins-'));
});
afterEach(() => rmSync(path, { recursive: true }));

const message = (): string => {
	try {
		openPins({} as Native, path);
		return 'opened';
	} catch (error) {
		return (error as Error).message;
	}
};

it('pins that are not there are said to be another version’s where they are', () => {
	expect(message()).toBe(`There is no ${path}/v${MAGLANE_ABI}`);
	mkdirSync(join(path, 'v998'));
	mkdirSync(join(path, 'other'));
	const named = 'v998 is of another version of maglane, whose own command reads it';
	expect(message()).toBe(`There is no ${path}/v${MAGLANE_ABI}; ${named}`);
});
