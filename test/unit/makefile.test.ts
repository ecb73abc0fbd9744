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

test('every variable that the docs give to make up reaches the command', needsMake, () => {
	const pages = ['README.md', 'docs/standalone.md'].map((page) => readFileSync(resolve(root, page), 'utf8'));
	const text = pages.join(' ').replaceAll('\n', ' ');
	const named = [...text.matchAll(/make up((?: [A-Z_]+=\S+)+)/g)].flatMap(([, variables]) =>
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

test('every variable of make networks-vm reaches the command', needsMake, () => {
	const flags = {
		...{ KERNELS: 'kernels', CLANGS: 'clangs', TIERS: 'tiers' },
		...{ TOPOLOGY: 'topologies', ACCEL: 'accel' },
	};
	expect(planOf('networks-vm')).not.toContain('--');
	for (const [name, flag] of Object.entries(flags))
		for (const value of ['one,two', 'one two'])
			expect(planOf('networks-vm', `${name}=${value}`)).toContain(` --${flag} "${value}"`);
});

test('make networks runs all topologies, some, or none but writes the rows', needsMake, () => {
	const plan = (...args: string[]) =>
		/scripts\/networks\.ts *(.*)$/m.exec(planOf('networks', ...args))![1]!.trim();
	expect(plan()).toBe('');
	expect(plan('TOPOLOGY=flat vxlan')).toBe('flat vxlan');
	expect(plan('RUN=no')).toBe('--page');
});
