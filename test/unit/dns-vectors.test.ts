import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readManifests } from '../golden/case.ts';
import { asker, dataText, load, makeZone } from './dns-rig.ts';

interface Case {
	q: string;
	type: string;
	rcode: string;
	answer: string[];
	additional?: string[];
}

const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');
const { cases } = JSON.parse(read('../vectors/dns.json')) as { cases: Case[] };
const ask = asker(load(makeZone(), readManifests(read('../manifests/coredns-ci.dns-test.yaml'))));

describe("the queries of CoreDNS's own test cluster (D-01)", () => {
	test('are 12', () => expect(cases).toHaveLength(12));

	test.each(cases.map((row) => [row.q, row.type, row] as const))('%s %s', async (name, type, row) => {
		const said = await ask(name, type);
		expect(said.rcode).toBe(row.rcode);
		expect(said.texts).toEqual([...row.answer].sort());
		expect(said.flag_aa).toBe(true);
		const additional = said.additionals.map((record) => `${record.name}. ${record.type} ${dataText(record)}`);
		expect(additional).toEqual(row.additional ?? []);
		const authority = row.answer.length === 0 ? ['SOA'] : [];
		expect(said.authorities.map((record) => record.type)).toEqual(authority);
	});
});
