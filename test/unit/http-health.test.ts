import { describe, expect, it } from 'vitest';
import { Health } from '../../agent/http/health.ts';

describe('Health', () => {
	const at = (ms: number): string => new Date(ms).toISOString();
	function setup(): { health: Health; pass: (ms: number) => void; now: () => number } {
		let now = 1_000_000;
		const pass = (ms: number): void => {
			now += ms;
		};
		return { health: new Health(() => now, 60_000), pass, now: () => now };
	}

	it('is well at start, before anything was written', () => {
		const { health, now } = setup();
		expect(health.healthy()).toEqual({
			ok: true,
			body: { lastUpdated: at(now()), currentTime: at(now()), nodeEligible: true },
		});
	});

	it('is ill when a change has waited for the time-out, and well when it is applied', () => {
		const { health, pass } = setup();
		health.applied();
		pass(10_000);
		health.queued();
		pass(59_999);
		health.queued();
		expect(health.live().ok).toBe(true);
		pass(1);
		expect(health.live()).toEqual({
			ok: false,
			body: { lastUpdated: at(1_000_000), currentTime: at(1_070_000) },
		});
		expect(health.healthy().ok).toBe(false);
		health.applied();
		expect(health.live().ok).toBe(true);
	});

	it('stays well while idle, however long the API server is away', () => {
		const { health, pass } = setup();
		health.queued();
		health.applied();
		pass(86_400_000);
		expect(health.healthy().ok).toBe(true);
		expect(health.healthy().body.lastUpdated).toBe(health.healthy().body.currentTime);
	});

	it('sends load balancers away from a leaving node and keeps the agent alive', () => {
		const { health } = setup();
		health.setEligible(false);
		expect(health.healthy()).toMatchObject({ ok: false, body: { nodeEligible: false } });
		expect(health.live().ok).toBe(true);
		health.setEligible(true);
		expect(health.healthy().ok).toBe(true);
	});
});
