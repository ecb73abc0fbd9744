import { defineConfig } from 'vitest/config';

/** A tier a folder: what it needs is what differs. Privileged tiers share devices and pins, so one file at a time. */
const tier = (name: string, privileged: boolean, more: { globalSetup?: string } = {}) => ({
	extends: true as const,
	test: {
		...more,
		name,
		include: [`test/${name}/**/*.test.ts`],
		pool: 'forks' as const,
		fileParallelism: !privileged,
		testTimeout: privileged ? 60_000 : 20_000,
		hookTimeout: privileged ? 120_000 : 20_000,
	},
});

export default defineConfig({
	test: {
		projects: [
			tier('unit', false),
			tier('golden', false),
			tier('bpf', true),
			tier('packet', true),
			tier('netns', true),
			tier('clients', false),
			tier('e2e', true, { globalSetup: 'test/e2e/support/shared-setup.ts' }),
		],
	},
});
