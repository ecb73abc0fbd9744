import { describe, expect, it } from 'vitest';
import { page, parsePage } from '../../scripts/networks/page.ts';
import { COMMON, checksOf } from '../networks/checks/index.ts';
import type { KernelResults } from '../networks/support/results.ts';
import type { Spec } from '../networks/support/spec.ts';
import { TOPOLOGIES } from '../networks/topologies/index.ts';

const spec = (name: string, more: Partial<Spec> = {}): Spec => ({
	...{ name, models: `a model of ${name}`, modes: ['XDP', 'TC'], build() {} },
	...more,
});
const why = 'nothing sees them';
const SPECS = [
	spec('plain'),
	spec('slow', { modes: ['TC'], degraded: [{ checks: ['host'], why }] }),
	spec('gone'),
];
const cell = (mode: 'XDP' | 'TC', outcome: 'works' | 'fails' | 'degraded', check = 'host') => ({
	...{ check, mode, outcome },
	family: 'v4' as const,
});
const RUN: KernelResults = {
	kernel: '6.1.0',
	at: '2026-01-02 03:04 UTC',
	topologies: {
		plain: { cells: [cell('XDP', 'works'), cell('XDP', 'works'), cell('TC', 'works'), cell('TC', 'fails')] },
		slow: { cells: [cell('TC', 'degraded'), cell('TC', 'works', 'health')] },
		gone: { absent: 'not in this kernel: gone', cells: [] },
	},
};
const rowsOf = (text: string, kernel: string) => Object.fromEntries(parsePage(text).get(kernel)!.rows);

describe('the page of networks', () => {
	const text = page('', SPECS, [RUN]);

	it('has a row a topology: what works by mode, what fails, what degrades and why, what is absent', () => {
		expect(rowsOf(text, '6.1.0')).toMatchObject({
			plain: ['2 of 2', '1 of 2', 'fails by TC, IPv4: host'],
			slow: ['the device has none', '1 of 2', `host: ${why}`],
			gone: ['not in this kernel: gone', 'not in this kernel: gone', ''],
		});
		expect(text).toContain('Run 2026-01-02 03:04 UTC.');
	});

	it('keeps what it says of kernels that were not run now, in the order of versions', () => {
		const both = page(text, SPECS, [
			{ ...RUN, kernel: '6.12.1' },
			{ ...RUN, kernel: '5.10.0' },
		]);
		expect([...parsePage(both).keys()]).toEqual(['5.10.0', '6.1.0', '6.12.1']);
		expect(rowsOf(both, '6.1.0')).toEqual(rowsOf(text, '6.1.0'));
		expect(page(both, SPECS, [])).toBe(both);
	});

	it('keeps the rows of a kernel whose other topologies are run', () => {
		const { plain } = RUN.topologies;
		const some = page(text, SPECS, [{ ...RUN, at: 'later', topologies: { plain: plain! } }]);
		expect(rowsOf(some, '6.1.0')).toEqual(rowsOf(text, '6.1.0'));
	});

	it('follows topologies that come and go', () => {
		const changed = page(text, [SPECS[0]!, spec('new')], []);
		expect(changed).not.toBe(text);
		expect(rowsOf(changed, '6.1.0')['new']).toEqual(['not run', '', '']);
		expect(rowsOf(changed, '6.1.0')['gone']).toBeUndefined();
	});
});

describe('topologies', () => {
	it('have names of their own, and degrade only checks that they are asked', () => {
		const names = TOPOLOGIES.map(({ name }) => name);
		expect(new Set(names).size).toBe(names.length);
		for (const topology of TOPOLOGIES) {
			const asked = new Set(checksOf(topology).map(({ id }) => id));
			for (const { checks } of topology.degraded ?? [])
				for (const id of checks) expect(asked, `${topology.name}: ${id}`).toContain(id);
		}
	});

	it('are asked each check once', () => {
		for (const topology of [...TOPOLOGIES, spec('common')]) {
			const ids = checksOf(topology).map(({ id }) => id);
			expect(new Set(ids).size).toBe(ids.length);
		}
		expect(checksOf(spec('common'))).toEqual(COMMON);
	});
});
