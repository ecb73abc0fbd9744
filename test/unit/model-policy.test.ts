import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Candidate, clusterSet, decide, wantsLocal } from '../../agent/model/policy.ts';

const read = (name: string) => readFileSync(new URL(`vectors/${name}`, import.meta.url), 'utf8');

interface Named extends Candidate {
	readonly name: string;
}

function candidate(name: string, state: string, more: Partial<Named> = {}): Named {
	return {
		name,
		ready: state === 'r',
		serving: state !== 'n',
		terminating: state === 't',
		local: false,
		forZones: [],
		forNodes: [],
		...more,
	};
}

const PLACE = { node: 'n1', zone: '' };

describe('decide()', () => {
	const rows = read('policy_decision.tsv')
		.split('\n')
		.filter((line) => line !== '' && !line.startsWith('#'))
		.slice(1)
		.map((line) => line.split('\t') as [string, string, string, string, string, string, string]);

	it('has the vectors', () => expect(rows).toHaveLength(578));

	it.each(rows)(
		'iTP %s eTP %s: %s from %s, local %s remote %s (B-23)',
		(itp, etp, dst, src, local, remote, want) => {
			const side = (states: string, letter: string) =>
				[...states.replace('-', '')].map((state, i) =>
					candidate(`${letter}${i + 1}`, state, { local: letter === 'L' }),
				);
			const policies = { internalLocal: itp === 'L', externalLocal: etp === 'L' };
			const here = wantsLocal(policies, dst === 'clusterIP', src === 'ext' ? 'external' : 'internal');
			const { backends, drop } = decide(here, [...side(local, 'L'), ...side(remote, 'R')], PLACE);
			const verdict = backends.map((b) => b.name).join(',') || (drop ? 'DROP' : 'REJECT');
			expect(verdict).toBe(want.split(' ')[0]);
		},
	);
});

describe('clusterSet()', () => {
	interface Case {
		readonly name: string;
		readonly endpoints: { ip: string; state: string; zones: string[]; nodes: string[] }[];
		readonly node: string;
		readonly zone: string;
		readonly want: string[];
	}
	const { cases } = JSON.parse(read('hints.json')) as { cases: Case[] };

	it('has the vectors', () => expect(cases.length).toBeGreaterThanOrEqual(76));

	it.each(cases)('hints: $name (B-38)', ({ endpoints, node, zone, want }) => {
		const candidates = endpoints.map((e) =>
			candidate(e.ip, e.state, { forZones: e.zones, forNodes: e.nodes }),
		);
		const chosen = clusterSet(candidates, { node, zone }).map((c) => c.name);
		expect(chosen.sort()).toEqual([...want].sort());
	});
});
