import { defineConfig } from 'vitest/config';

/** How many times longer a test may take: an emulated processor is slow (scripts/vm). */
const patience = Number(process.env['MAGLANE_TEST_PATIENCE'] ?? 1);

/**
 * One tier per folder: tiers differ in their needs. Privileged tiers share devices and pins, so
 * they run one file at a time.
 */
const tier = (
	name: string,
	privileged: boolean,
	more: { globalSetup?: string; setupFiles?: string[] } = {},
) => ({
	extends: true as const,
	test: {
		...more,
		name,
		include: [`test/${name}/**/*.test.ts`],
		pool: 'forks' as const,
		fileParallelism: !privileged,
		testTimeout: patience * (privileged ? 60_000 : 20_000),
		hookTimeout: patience * (privileged ? 120_000 : 20_000),
	},
});

export default defineConfig({
	test: {
		projects: [
			tier('unit', false),
			tier('golden', false),
			tier('bpf', true),
			tier('packet', true, { setupFiles: ['test/packet/setup.ts'] }),
			tier('netns', true),
			tier('networks', true),
			tier('clients', false),
			tier('e2e', true, { globalSetup: 'test/e2e/support/shared-setup.ts' }),
		],
	},
});
