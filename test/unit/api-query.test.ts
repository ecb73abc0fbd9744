import { expect, test } from 'vitest';
import { flagOf } from '../../standalone/api/http/query.ts';
import { accessesOf } from '../../standalone/api/http/request-access.ts';

const VALUES: readonly [query: string, set: boolean][] = [
	['', false],
	['watch=true', true],
	['watch=True', true],
	['watch=1', true],
	['watch=', true],
	['watch', true],
	['watch=yes', true],
	['watch=false', false],
	['watch=False', false],
	['watch=0', false],
	['watch=true&watch=false', true],
	['watch=false&watch=true', false],
	['Watch=true', false],
];

test.each(VALUES)('the query "%s" sets the flag: %s', (query, set) => {
	expect(flagOf(new URLSearchParams(query), 'watch')).toBe(set);
});
test.each(VALUES)('an authorizer judges the query "%s" as a watch: %s', (query, set) => {
	const [access] = accessesOf('GET', new URL(`https://localhost/api/v1/pods?${query}`));
	expect(access).toMatchObject({ verb: set ? 'watch' : 'list', resource: 'pods' });
});
