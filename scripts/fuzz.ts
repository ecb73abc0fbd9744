/**
 * `make fuzz`: feeds the same random histories to the packet programs and to their model: PACKETS
 * packets (10 million by default), each family and protocol in turn, starting with SEED. Prints a
 * shrunk difference with its seed and path.
 */
import { compare, openPlane } from '../test/packet/model/property.ts';
import { CASES } from '../test/packet/shape.ts';

const wanted = Number(process.argv[2] || 10_000_000);
let seed = Number(process.argv[3] || Math.floor(Math.random() * 2 ** 31));
if (!Number.isInteger(wanted) || wanted < 1 || !Number.isInteger(seed) || seed < 0) {
	console.error(
		'Cannot fuzz: PACKETS and SEED are whole numbers, such as `make fuzz PACKETS=1000000 SEED=1`',
	);
	process.exit(2);
}

using plane = await openPlane('mlpf');
let packets = 0;
const started = performance.now();
const report = () => {
	const seconds = (performance.now() - started) / 1000;
	console.log(`${packets} packets, no difference, ${Math.round(seconds)} s, next seed ${seed}`);
};
let said = 0;
try {
	while (packets < wanted) {
		for (const { family, proto } of CASES)
			packets += compare(plane, family, proto, { seed, runs: 200, length: 200 });
		seed = (seed + 1) % 2 ** 31;
		if (performance.now() - said < 10_000) continue;
		said = performance.now();
		report();
	}
	report();
} catch (error) {
	console.error(`After ${packets} packets, seed ${seed}:`);
	console.error(error instanceof Error ? error.message : error);
	if (error instanceof Error && error.cause instanceof Error) console.error(error.cause.message);
	process.exitCode = 1;
}
