/** Runs every check on each topology, in each of its modes, over both families. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { checksOf } from '../checks/index.ts';
import { Agents } from './agents.ts';
import { type Cell, type Check, Site } from './check.ts';
import { Lab } from './lab.ts';
import { type CellResult, save } from './results.ts';
import { type Degraded, FAMILIES, type Mode, type Spec } from './spec.ts';

const covers = ({ checks, modes, families }: Degraded, check: Check, { mode, family }: Cell) =>
	checks.includes(check.id) && (modes?.includes(mode) ?? true) && (families?.includes(family) ?? true);

/** A degraded cell must fail. If it passes, the topology describes it wrongly. */
async function judge(
	check: Check,
	site: Site,
	cell: Cell,
	why: string | undefined,
): Promise<CellResult['outcome']> {
	if (why === undefined) {
		await check.run(site, cell);
		return 'works';
	}
	const failed = await check.run(site, cell).then(
		() => false,
		() => true,
	);
	if (!failed) throw new Error(`This works, though the topology says: ${why}`);
	return 'degraded';
}

/** Defines the tests of a topology in the current group. */
export function networkSuite(spec: Spec): void {
	const absent = spec.needs?.map((need) => need()).find((why) => why !== undefined);
	if (absent !== undefined) {
		it(absent, (context) => {
			save(spec, { absent, cells: [] });
			context.skip(absent);
		});
		return;
	}
	let lab: Lab | undefined;
	let agents: Agents | undefined;
	let site: Site | undefined;
	let built = false;
	const cells: CellResult[] = [];

	beforeAll(async () => {
		lab = new Lab('mlnt');
		await spec.build(lab);
		agents = await Agents.create(lab, spec.agent ?? []);
		site = new Site(spec, lab, agents);
		await site.serve();
		built = true;
	});
	afterAll(async () => {
		save(spec, built ? { cells } : { absent: 'it could not be built', cells });
		await site?.close();
		await agents?.close();
		lab?.close();
	});

	describe.each(spec.modes)('%s', (mode) => {
		beforeAll(async () => {
			// XDP forwards complete checksums. TC receives the incomplete checksums of a veth.
			lab!.offloads(mode === 'TC');
			await agents!.use(mode).catch((error: Error) => {
				// Print at once, because the reporter prints at the end of a run of many topologies
				console.error(`${spec.name}, ${mode}: ${error.message}`);
				throw error;
			});
		});
		for (const family of FAMILIES) ask(mode, family);
	});

	function ask(mode: Mode, family: Cell['family']): void {
		const cell = { mode, family };
		for (const check of checksOf(spec)) {
			if (check.families && !check.families.includes(family)) continue;
			const why = spec.degraded?.find((one) => covers(one, check, cell))?.why;
			it(`IP${family} ${check.id}: ${check.title}`, async () => {
				let outcome: CellResult['outcome'] = 'fails';
				try {
					outcome = await judge(check, site!, cell, why);
				} finally {
					cells.push({ check: check.id, ...cell, outcome });
				}
			});
		}
	}
}
