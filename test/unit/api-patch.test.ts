import { describe, expect, test } from 'vitest';
import type { ApiError } from '../../standalone/api/errors.ts';
import { jsonPatch } from '../../standalone/api/patch/json-patch.ts';
import { mergeRulesOf } from '../../standalone/api/patch/merge-keys.ts';
import { mergePatch } from '../../standalone/api/patch/merge-patch.ts';
import { applyPatch, checkPatchType } from '../../standalone/api/patch/patch.ts';
import { strategicMergePatch } from '../../standalone/api/patch/strategic.ts';

describe('jsonPatch() (RFC 6902)', () => {
	const add = (path: string, value: unknown) => ({ op: 'add', path, value });
	test.each<[string, unknown, unknown[], unknown]>([
		['add a member', { a: 1 }, [add('/b', 2)], { a: 1, b: 2 }],
		['add into an array', { a: [1, 3] }, [add('/a/1', 2)], { a: [1, 2, 3] }],
		['append', { a: [1] }, [add('/a/-', 2)], { a: [1, 2] }],
		[
			'remove',
			{ a: [1, 2], b: 1 },
			[
				{ op: 'remove', path: '/a/0' },
				{ op: 'remove', path: '/b' },
			],
			{ a: [2] },
		],
		['replace', { a: { b: 1 } }, [{ op: 'replace', path: '/a/b', value: null }], { a: { b: null } }],
		['move', { a: { x: 1 }, b: {} }, [{ op: 'move', from: '/a/x', path: '/b/y' }], { a: {}, b: { y: 1 } }],
		['copy', { a: [1] }, [{ op: 'copy', from: '/a', path: '/b' }], { a: [1], b: [1] }],
		[
			'escapes',
			{ 'a/b': 1, 'm~n': 2 },
			[
				{ op: 'replace', path: '/a~1b', value: 3 },
				{ op: 'remove', path: '/m~0n' },
			],
			{ 'a/b': 3 },
		],
		['test passes', { a: [1] }, [{ op: 'test', path: '/a', value: [1] }], { a: [1] }],
	])('%s', (_name, document, patch, want) => {
		const before = structuredClone(document);
		expect(jsonPatch(document, patch)).toEqual(want);
		expect(document).toEqual(before);
	});

	test.each<[string, unknown, number]>([
		['no array', {}, 400],
		['no pointer', [{ op: 'add', path: 'a', value: 1 }], 400],
		['unknown operation', [{ op: 'frob', path: '/a' }], 400],
		['missing path', [{ op: 'remove', path: '/x/y' }], 422],
		['index out of range', [{ op: 'add', path: '/a/5', value: 1 }], 422],
		['test fails', [{ op: 'test', path: '/a', value: 0 }], 422],
	])('%s is refused', (_name, patch, code) => {
		expect(() => jsonPatch({ a: [1] }, patch)).toThrow(expect.objectContaining({ code }));
	});
});

test('mergePatch() follows the table of RFC 7396', () => {
	const rows: [unknown, unknown, unknown][] = [
		[{ a: 'b' }, { a: 'c' }, { a: 'c' }],
		[{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
		[{ a: 'b' }, { a: null }, {}],
		[{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
		[{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
		[{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
		[{ e: null }, { a: 1 }, { e: null, a: 1 }],
		[[1, 2], { a: 'b', c: null }, { a: 'b' }],
		[{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
	];
	for (const [target, patch, want] of rows) expect(mergePatch(target, patch)).toEqual(want);
});

describe('strategicMergePatch()', () => {
	const service = (patch: object, document: Record<string, unknown>) =>
		strategicMergePatch(document, patch, mergeRulesOf('Service'));
	const deployment = (patch: object, document: Record<string, unknown>) =>
		strategicMergePatch(document, patch, mergeRulesOf('Deployment'));
	const containers = (list: unknown) => ({ spec: { template: { spec: { containers: list } } } });

	test('ports merge by port', () => {
		const document = { spec: { ports: [{ port: 80, nodePort: 30080 }, { port: 443 }] } };
		expect(service({ spec: { ports: [{ port: 80, targetPort: 8080 }, { port: 81 }] } }, document)).toEqual({
			spec: { ports: [{ port: 80, nodePort: 30080, targetPort: 8080 }, { port: 443 }, { port: 81 }] },
		});
	});

	test('containers merge by name, their env too, other lists are replaced', () => {
		const document = containers([
			{ name: 'a', image: '1', args: ['x'], env: [{ name: 'K', value: '1' }] },
			{ name: 'b', image: '1' },
		]);
		const patch = containers([{ name: 'a', image: '2', args: ['y'], env: [{ name: 'L', value: '2' }] }]);
		expect(deployment(patch, document)).toEqual(
			containers([
				{
					name: 'a',
					image: '2',
					args: ['y'],
					env: [
						{ name: 'K', value: '1' },
						{ name: 'L', value: '2' },
					],
				},
				{ name: 'b', image: '1' },
			]),
		);
	});

	test('$patch: delete and replace', () => {
		const document = containers([{ name: 'a' }, { name: 'b' }]);
		expect(deployment(containers([{ name: 'a', $patch: 'delete' }]), document)).toEqual(
			containers([{ name: 'b' }]),
		);
		expect(deployment(containers([{ $patch: 'replace' }, { name: 'c' }]), document)).toEqual(
			containers([{ name: 'c' }]),
		);
		const labelled = { metadata: { labels: { a: '1', b: '2' } } };
		expect(service({ metadata: { labels: { $patch: 'replace', c: '3' } } }, labelled)).toEqual({
			metadata: { labels: { c: '3' } },
		});
	});

	test('$setElementOrder orders, others keep their place', () => {
		const document = containers([{ name: 'a' }, { name: 'server' }]);
		const patch = {
			spec: {
				template: {
					spec: {
						'$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }],
						containers: [{ name: 'b' }],
					},
				},
			},
		};
		expect(deployment(patch, document)).toEqual(
			containers([{ name: 'b' }, { name: 'a' }, { name: 'server' }]),
		);
	});

	test('$deleteFromPrimitiveList and set union of finalizers', () => {
		const document = { metadata: { finalizers: ['a', 'b'] } };
		expect(service({ metadata: { '$deleteFromPrimitiveList/finalizers': ['a'] } }, document)).toEqual({
			metadata: { finalizers: ['b'] },
		});
		expect(service({ metadata: { finalizers: ['c', 'a'] } }, document)).toEqual({
			metadata: { finalizers: ['a', 'b', 'c'] },
		});
	});

	test('$retainKeys drops the other fields of a union', () => {
		const document = { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } };
		const patch = { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } };
		expect(deployment(patch, document)).toEqual({ spec: { strategy: { type: 'Recreate' } } });
	});

	test('conditions merge by type, nulls delete, tolerations are replaced', () => {
		const document = {
			spec: { template: { spec: { tolerations: [{ key: 'a' }] } }, paused: true },
			status: { conditions: [{ type: 'Ready', status: 'False' }] },
		};
		const patch = {
			spec: { template: { spec: { tolerations: [{ key: 'b' }] } }, paused: null },
			status: {
				conditions: [
					{ type: 'Ready', status: 'True' },
					{ type: 'Other', status: 'True' },
				],
			},
		};
		expect(deployment(patch, document)).toEqual({
			spec: { template: { spec: { tolerations: [{ key: 'b' }] } } },
			status: {
				conditions: [
					{ type: 'Ready', status: 'True' },
					{ type: 'Other', status: 'True' },
				],
			},
		});
	});

	test('an entry without its merge key is refused', () => {
		expect(() => service({ spec: { ports: [{ name: 'x' }] } }, { spec: { ports: [{ port: 1 }] } })).toThrow(
			'does not contain declared merge key: port',
		);
	});
});

test('applyPatch() names what it takes', () => {
	const code = (type: string): number => {
		try {
			checkPatchType(type);
			applyPatch(type, '{', { metadata: { name: 'a' } });
		} catch (error) {
			return (error as ApiError).code;
		}
		return 0;
	};
	expect(code('application/apply-patch+yaml')).toBe(415);
	expect(code('text/plain')).toBe(415);
	expect(code('application/merge-patch+json')).toBe(400);
});
