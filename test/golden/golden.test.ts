import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fakeServiceMaps } from '../../agent/bpf/fake.ts';
import type { Native } from '../../agent/bpf/ffi/library.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import type { ServiceMaps } from '../../agent/bpf/port.ts';
import { bpf, root } from '../../scripts/machine.ts';
import { Golden, type Manifest, readManifests } from './case.ts';
import { deployed } from './demo.ts';
import { compileMaps, type KernelMaps, openKernelMaps } from './maps.ts';

const CASES = new URL('cases/', import.meta.url);
const DEMO = new URL(
	'../../../shared/manifests/microservices-demo.kubernetes-manifests.yaml',
	import.meta.url,
);

function* cases(): Iterable<readonly [name: string, manifests: Manifest[]]> {
	for (const file of readdirSync(CASES).sort()) {
		if (file.endsWith('.yaml'))
			yield [file.slice(0, -5), readManifests(readFileSync(new URL(file, CASES), 'utf8'))];
	}
	if (existsSync(DEMO)) yield ['microservices-demo', deployed(readManifests(readFileSync(DEMO, 'utf8')))];
}

/** `UPDATE=1` writes the expected file instead of comparing with it. */
function expectGolden(name: string, dump: string): void {
	const file = new URL(`${name}.dump`, CASES);
	if (process.env['UPDATE'] === '1') writeFileSync(file, dump);
	expect(dump).toBe(readFileSync(file, 'utf8'));
}

function expectGoldens(maps: () => ServiceMaps): void {
	it.each([...cases()])('%s: YAML in, maps out', (name, manifests) => {
		expectGolden(name, new Golden(maps(), manifests).apply());
	});

	it.each([...cases()])('%s: the order of the objects does not matter', (name, manifests) => {
		expectGolden(name, new Golden(maps(), manifests.toReversed()).apply());
	});

	it.each([...cases()])(
		'%s: a restarted agent changes nothing, and leaves nothing when all is deleted',
		(name, manifests) => {
			new Golden(maps(), manifests).apply();
			const restarted = new Golden(maps(), manifests);
			expectGolden(name, restarted.apply());
			expect(restarted.removeAll()).toMatch(
				/^(settings service CIDR \S+\n)*settings snat \S+ \S+\n(problem ServiceCIDR .*\n)*$/,
			);
		},
	);
}

describe('in memory', () => {
	let maps: ServiceMaps;
	beforeEach(() => {
		maps = fakeServiceMaps({ backends: 4096 });
	});
	expectGoldens(() => maps);
});

const missing = root() ?? bpf();
if (missing) console.log(`Golden tests on kernel maps are skipped: ${missing}`);

describe('in the kernel', { skip: missing !== undefined }, () => {
	let object: Awaited<ReturnType<typeof compileMaps>>;
	let native: Native;
	let kernel: KernelMaps | undefined;
	beforeAll(async () => {
		native = openNative('koffi');
		object = await compileMaps();
	}, 60_000);
	beforeEach(() => {
		kernel = openKernelMaps(native, object.file);
	});
	afterEach(() => kernel?.[Symbol.dispose]());
	afterAll(() => object[Symbol.dispose]());
	expectGoldens(() => kernel!.maps);
});
