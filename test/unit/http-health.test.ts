import { describe, expect, it } from 'vitest';
import { HEALTH_TIMEOUT_MS, Health } from '../../agent/http/health.ts';

const NOW = Date.UTC(2026, 0, 1);
const at = (ms: number): string => new Date(ms).toISOString();

/** Health of an agent whose oldest change has been pending for `pending` ms. */
function health(pending?: number, sinceApplied?: number, eligible = true): Health {
	const source = { pendingMs: () => pending, sinceAppliedMs: () => sinceApplied, eligible: () => eligible };
	return new Health(source, () => NOW);
}

describe('Health', () => {
	it('is well at start, before anything was written (B-62)', () => {
		const body = { lastUpdated: at(NOW), currentTime: at(NOW), nodeEligible: true };
		expect(health().healthy()).toEqual({ ok: true, body });
	});

	it('is well while a change waits, and ill when it has waited for the time-out (B-62, B R-11)', () => {
		expect(health(HEALTH_TIMEOUT_MS - 1, 70_000).live().ok).toBe(true);
		expect(health(HEALTH_TIMEOUT_MS, 70_000).live()).toEqual({
			ok: false,
			body: { lastUpdated: at(NOW - 70_000), currentTime: at(NOW) },
		});
		expect(health(HEALTH_TIMEOUT_MS, 70_000).healthy().ok).toBe(false);
	});

	it('stays well while idle, however long ago the last change was (B-62)', () => {
		const idle = health(undefined, 86_400_000);
		expect(idle.healthy().ok).toBe(true);
		expect(idle.healthy().body.lastUpdated).toBe(at(NOW));
	});

	it('sends load balancers away from a leaving node and keeps the agent alive (B R-11)', () => {
		const leaving = health(undefined, 5, false);
		expect(leaving.healthy()).toMatchObject({ ok: false, body: { nodeEligible: false } });
		expect(leaving.live().ok).toBe(true);
	});
});
