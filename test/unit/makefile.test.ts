import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { hasCommand } from '../../scripts/machine.ts';

const root = resolve(import.meta.dirname, '../..');
const needsMake = { skip: !hasCommand('make') };
const planOf = (...args: string[]): string =>
	execFileSync('make', ['--dry-run', '--directory', root, ...args], { encoding: 'utf8' });

const FLAGS: Readonly<Record<string, readonly [value: string, flag: string]>> = {
	NODES: ['3', '--nodes 3'],
	ZONES: ['zone-a,zone-b', '--zones zone-a,zone-b'],
	FAMILIES: ['v6,v4', '--families v6,v4'],
	LB_POOL: ['192.0.2.0/24', '--lb-pool 192.0.2.0/24'],
};

test('every variable that README gives to make up reaches the command', needsMake, () => {
	const readme = readFileSync(resolve(root, 'README.md'), 'utf8').replaceAll('\n', ' ');
	const named = [...readme.matchAll(/make up((?: [A-Z_]+=\S+)+)/g)].flatMap(([, variables]) =>
		[...variables!.matchAll(/([A-Z_]+)=/g)].map(([, name]) => name!),
	);
	expect(new Set(named)).toEqual(new Set(Object.keys(FLAGS)));
	for (const [name, [value, flag]] of Object.entries(FLAGS))
		expect(planOf('up', `${name}=${value}`)).toContain(` ${flag}`);
	const all = planOf('up', ...Object.entries(FLAGS).map(([name, [value]]) => `${name}=${value}`));
	for (const [, flag] of Object.values(FLAGS)) expect(all).toContain(` ${flag}`);
});

test('without a variable no flag is given', needsMake, () => {
	for (const [, flag] of Object.values(FLAGS)) expect(planOf('up')).not.toContain(flag.split(' ')[0]);
});
