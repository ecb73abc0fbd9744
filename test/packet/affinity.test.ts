import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decode } from './decode.ts';
import { Dataplane, program } from './fixture.ts';
import { ADDR, CASES, type Case, frameOf, NODEPORT, type Shape, TARGET_PORT } from './shape.ts';

const HOOKS = [program('ml_xdp'), program('ml_from_netdev')];
const MATRIX = HOOKS.flatMap((hook) => CASES.map((one) => ({ hook, name: hook.name, ...one })));
type Row = (typeof MATRIX)[number];

/**
 * Longest program second in milliseconds with hz = 100: 1000 on a kernel with 100 Hz, 100 with 1000
 * Hz.
 */
const SECOND = 1000;

describe('sessionAffinity ClientIP', () => {
	let plane: Dataplane;
	let sport = 20_000;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp', { hz: 100 });
	});
	beforeEach(() => {
		plane.clear();
		const affinities = plane.objects.map('affinities');
		for (const [key] of [...affinities.entries()]) affinities.delete(key);
	});
	afterAll(() => plane?.close());

	const add = ({ family, proto }: Case, affinitySeconds: number) => {
		const { node, remote, remote2 } = ADDR[family];
		const spec = {
			proto,
			frontends: [{ address: node, port: NODEPORT }],
			backends: [remote, remote2].map((address) => ({ address, port: TARGET_PORT })),
			affinitySeconds,
		};
		const { serviceId, backendIds } = plane.services.add(spec);
		const id = (address: string) => backendIds[address === remote ? 0 : 1]!;
		const other = (address: string) => (address === remote ? remote2 : remote);
		/**
		 * Writes a table with this backend in every slot. The Service keeps both backends unless
		 * `members` differs.
		 */
		const tableOf = (address: string, members = backendIds) =>
			plane.services.retarget(spec, serviceId, [id(address)], members);
		return { id, other, tableOf };
	};
	/** Starts a new flow. @returns its backend */
	const pick = ({ hook, family, proto }: Row, src: string = ADDR[family].client): string => {
		const shape: Shape = { proto, src, dst: ADDR[family].node, sport: sport++, dport: NODEPORT, flags: 'S' };
		return decode(plane.run(hook, frameOf(shape)).bytes).ip!.dst;
	};

	it.each(MATRIX)('$name $proto IP$family: a client stays with one backend, clients spread', (row) => {
		add(row, 60);
		const seen = new Set<string>();
		for (let host = 1; host <= 40; host++) {
			const client = row.family === 'v4' ? `192.168.10.${100 + host}` : `fd00:10::1:${host.toString(16)}`;
			const first = pick(row, client);
			for (let i = 0; i < 4; i++) expect(pick(row, client)).toBe(first);
			seen.add(first);
		}
		expect(seen.size).toBe(2);
	});

	it.each(MATRIX)('$name $proto IP$family: a new table keeps a client at what it had (F-11, F-31)', (row) => {
		const { other, tableOf } = add(row, 60);
		const had = pick(row);
		tableOf(other(had));
		expect(pick(row)).toBe(had);
		expect(pick(row, ADDR[row.family].client2)).toBe(other(had));
	});

	it.each(MATRIX)('$name $proto IP$family: a backend that is gone is left, for good (F-31)', (row) => {
		const { id, other, tableOf } = add(row, 60);
		const had = pick(row);
		tableOf(other(had), [id(other(had))]);
		expect(pick(row)).toBe(other(had));
		tableOf(had);
		expect(pick(row)).toBe(other(had));
	});

	it.each(MATRIX)(
		'$name $proto IP$family: it ends when no flow has begun for as long (F-31)',
		async (row) => {
			const { other, tableOf } = add(row, 1);
			const had = pick(row);
			tableOf(other(had));
			expect(pick(row)).toBe(had);
			await sleep(SECOND + 50);
			expect(pick(row)).toBe(other(had));
		},
	);
});
