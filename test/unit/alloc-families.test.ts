import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Family } from '../../standalone/alloc/ip-range.ts';
import { ApiError, createApi } from '../../standalone/api/index.ts';

interface Row {
	cluster: Family[];
	in: { clusterIPs: string[]; selector: boolean; ipFamilyPolicy: string | null; ipFamilies: Family[] };
	want: { error?: true; ipFamilyPolicy?: string; ipFamilies?: Family[]; clusterIPs?: string[] };
}

const vectors = new URL('../vectors/dualstack_create.json', import.meta.url);
const rows: Row[] = JSON.parse(readFileSync(vectors, 'utf8')).cases;

// Ranges of the addresses in the rows
const CIDRS: Record<Family, string> = { IPv4: '10.0.0.0/16', IPv6: '2000::/112' };

function specOf({ in: given }: Row): Record<string, unknown> {
	return {
		ports: [{ port: 80 }],
		...(given.clusterIPs.length > 0 ? { clusterIP: given.clusterIPs[0], clusterIPs: given.clusterIPs } : {}),
		...(given.selector ? { selector: { app: 'a' } } : {}),
		...(given.ipFamilyPolicy ? { ipFamilyPolicy: given.ipFamilyPolicy } : {}),
		...(given.ipFamilies.length > 0 ? { ipFamilies: given.ipFamilies } : {}),
	};
}

test.each([
	['nothing', {}, 'RequireDualStack', ['IPv4', 'IPv6']],
	['IPv6', { ipFamilies: ['IPv6'] }, 'RequireDualStack', ['IPv6', 'IPv4']],
	['IPv6 alone', { ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv6'] }, 'SingleStack', ['IPv6']],
	['both alone', { ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv4', 'IPv6'] }, undefined, undefined],
])(
	'a headless Service without selector that asks an IPv4 cluster for %s (C-02)',
	(_what, asked, ipFamilyPolicy, ipFamilies) => {
		const { objects } = createApi({ families: ['IPv4'], serviceCidrs: [CIDRS.IPv4] });
		const create = () =>
			objects.create('services', {
				metadata: { name: 'svc', namespace: 'default' },
				spec: { clusterIP: 'None', ports: [{ port: 80 }], ...asked },
			}).spec;
		if (ipFamilyPolicy) expect(create()).toMatchObject({ ipFamilyPolicy, ipFamilies, clusterIPs: ['None'] });
		else expect(create).toThrow("must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families");
	},
);

const familyOf = (ip: string): string => (ip.includes(':') ? 'IPv6' : 'IPv4');

describe('Service create: ipFamilyPolicy, ipFamilies and clusterIPs (C R-1, C-01)', () => {
	test('has 280 rows', () => expect(rows).toHaveLength(280));

	test.each(rows.map((row, at) => [at, JSON.stringify(row.in), row] as const))(
		'row %i %s',
		(_at, _in, row) => {
			const { objects } = createApi({
				families: row.cluster,
				serviceCidrs: row.cluster.map((family) => CIDRS[family]),
			});
			const spec = specOf(row);
			// 10.0.0.1 belongs to default/kubernetes in this range, so another address replaces it
			const text = JSON.stringify(spec).replaceAll('"10.0.0.1"', '"10.0.0.9"');
			const create = () =>
				objects.create('services', {
					metadata: { name: 'svc', namespace: 'default' },
					spec: JSON.parse(text),
				});
			if (row.want.error) {
				expect(create).toThrow(ApiError);
				expect(objects.get('services', 'default', 'svc')).toBeUndefined();
				return;
			}
			const made = create().spec;
			expect(made.ipFamilyPolicy).toBe(row.want.ipFamilyPolicy);
			expect(made.ipFamilies).toEqual(row.want.ipFamilies);
			expect(made.clusterIPs).toHaveLength(row.want.clusterIPs!.length);
			for (const [index, want] of row.want.clusterIPs!.entries()) {
				const got = made.clusterIPs![index]!;
				if (want.startsWith('<auto ')) expect(`<auto ${familyOf(got)}>`).toBe(want);
				else expect(got).toBe(want === '10.0.0.1' ? '10.0.0.9' : want);
			}
			expect(made.clusterIP).toBe(made.clusterIPs![0]);
		},
	);
});
