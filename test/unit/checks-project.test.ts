import { describe, expect, it } from 'vitest';
import { auditResult } from '../../scripts/check/audit.ts';
import { subjectProblem } from '../../scripts/check/commits.ts';
import { isAllowed, licencesPage, packagesOf } from '../../scripts/check/licences.ts';

describe('subjectProblem()', () => {
	it.each([
		['dns: retry an upstream over TCP after a truncated answer'],
		['agent-2: x'],
		['Revert "dns: retry an upstream over TCP after a truncated answer, with a long subject"'],
		[`bpf: ${'x'.repeat(66)}`],
	])('accepts %s', (subject) => {
		expect(subjectProblem(subject)).toBeUndefined();
	});

	it.each([
		['retry an upstream', /form/],
		['DNS: retry an upstream', /form/],
		['dns:retry', /form/],
		['dns: ', /form/],
		['dns: retry an upstream.', /period/],
		[`bpf: ${'x'.repeat(67)}`, /72 columns, 71 at most/],
	])('refuses %s', (subject, why) => {
		expect(subjectProblem(subject)).toMatch(why);
	});
});

describe('licences', () => {
	it.each([
		['MIT', true],
		['MIT OR GPL-3.0-only', true],
		['(MIT OR CC0-1.0)', true],
		['MIT AND ISC', true],
		['GPL-3.0-only', false],
		['MIT AND GPL-3.0-only', false],
		['(MIT OR ISC) AND GPL-3.0-only', false],
		['(GPL-3.0-only AND MIT) OR ISC', true],
		['UNLICENSED', false],
		['SEE LICENSE IN LICENSE', false],
	])('%s is allowed: %s', (expression, allowed) => {
		expect(isAllowed(expression)).toBe(allowed);
	});

	it('lists each package that users get once, by its own name', () => {
		const packages = packagesOf({
			packages: {
				'': { name: 'maglane' },
				'node_modules/b': { version: '1.0.0', license: 'ISC', dev: true },
				'node_modules/a/node_modules/b': { version: '1.0.0', license: 'ISC' },
				'node_modules/c': { version: '2.0.0', license: 'MIT', dev: true },
				'node_modules/d': { version: '1.0.0', license: 'MIT', os: ['darwin'] },
				'node_modules/alias': { name: '@x/a', version: '3.0.0', license: 'MIT' },
			},
		});
		expect(packages.map(({ name }) => name)).toEqual(['@x/a', 'b', 'c', 'd']);
		const rows = licencesPage(packages)
			.split('\n')
			.filter((line) => /\| \d/.test(line));
		expect(rows).toEqual(['| @x/a | 3.0.0 | MIT |', '| b | 1.0.0 | ISC |']);
	});
});

describe('auditResult()', () => {
	it('names packages with a high or critical vulnerability', () => {
		const vulnerabilities = {
			a: { severity: 'high', range: '<1.2.3' },
			b: { severity: 'moderate', range: '*' },
		};
		expect(auditResult(JSON.stringify({ vulnerabilities }))).toEqual({
			problems: ['a <1.2.3: high; see npm audit --omit=dev'],
		});
	});

	it.each(['', 'null', '{"statusCode":405}', '<html>'])('is skipped without a report: %j', (output) => {
		expect(auditResult(output)).toEqual({ problems: [], skipped: expect.any(String) });
	});
});
