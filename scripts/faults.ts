/**
 * `make fuzz-faults`: inserts each fault of test/packet/model/faults.ts into a copy of the BPF
 * sources and prints whether the fuzzing share of `make test` finds it. Exits with 1 when a fault
 * is not found.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bpfObjects } from '../agent/bpf/compile.ts';
import { openNative } from '../agent/bpf/ffi/native.ts';
import type { RodataValues } from '../agent/bpf/rodata.ts';
import { Dataplane } from '../test/packet/fixture.ts';
import { FAULTS, type Fault } from '../test/packet/model/faults.ts';
import * as hammer from '../test/packet/model/hammer.ts';
import { compare, SHARE, SIZES } from '../test/packet/model/property.ts';
import { RODATA } from '../test/packet/model/world.ts';
import { Net } from '../test/packet/net.ts';
import { Objects, REPOSITORY } from '../test/packet/objects.ts';
import { CASES } from '../test/packet/shape.ts';

async function open(sources: string, rodata: RodataValues): Promise<Dataplane> {
	const { files } = await bpfObjects({ sources, cache: join(sources, 'cache') });
	const net = new Net('mlpx');
	try {
		const objects = [files.xdp, files.tc, files.sock];
		return new Dataplane(
			net,
			new Objects(openNative('koffi'), objects, join(net.prefix, 'v1'), rodata, SIZES),
		);
	} catch (error) {
		net.close();
		throw error;
	}
}

/** @returns the check that found the fault */
async function find({ file, from, to, by }: Fault): Promise<string | undefined> {
	const sources = mkdtempSync(join(tmpdir(), 'maglane-fault-'));
	try {
		cpSync(join(REPOSITORY, 'bpf'), sources, { recursive: true });
		const path = join(sources, file);
		const text = readFileSync(path, 'utf8');
		if (text.split(from).length !== 2) throw new Error(`${file} does not have the text once: ${from}`);
		writeFileSync(
			path,
			text.replace(from, () => to),
		);
		using plane = await open(sources, by === 'hammer' ? hammer.RODATA : RODATA);
		return by === 'hammer' ? await byHammer(plane) : byHistories(plane);
	} finally {
		rmSync(sources, { recursive: true });
	}
}

async function byHammer(plane: Dataplane): Promise<string | undefined> {
	for (const hook of ['ml_xdp', 'ml_from_netdev'])
		for (const one of CASES) {
			const wrong = await hammer.hammer(plane, { ...one, hook, rounds: hammer.ROUNDS });
			if (wrong > 0) return `${hook} ${one.proto} IP${one.family}: ${wrong} of ${hammer.ROUNDS} rounds`;
			plane.clear();
		}
	return undefined;
}

function byHistories(plane: Dataplane): string | undefined {
	for (const seed of SHARE.seeds)
		for (const { family, proto } of CASES)
			try {
				compare(plane, family, proto, { ...SHARE, seed });
			} catch (error) {
				const { message, cause } = error as Error;
				return `${proto} IP${family}, ${/seed: .*?,/.exec(message)?.[0]} ${(cause as Error | undefined)?.message ?? message}`;
			}
	return undefined;
}

for (const fault of FAULTS) {
	const found = await find(fault);
	console.log(`${found ? 'found    ' : 'NOT FOUND'}  ${fault.name}${found ? `\n           ${found}` : ''}`);
	if (!found) process.exitCode = 1;
}
