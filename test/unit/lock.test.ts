import { describe, expect, it } from 'vitest';
import { lockPins } from '../../agent/bpf/lock.ts';

const DIRECTORY = `/sys/fs/bpf/mld-lock-${process.pid}/v1`;

describe('lockPins()', () => {
	it('keeps a second agent out and says so, and lets it in when the first ends', async () => {
		const first = await lockPins(DIRECTORY);
		await expect(lockPins(DIRECTORY, undefined, 0)).rejects.toThrow(/another agent.*--pin-path/);
		const second = lockPins(DIRECTORY);
		first.release();
		(await second).release();
	});

	it('knows directories apart', async () => {
		const first = await lockPins(DIRECTORY);
		const other = await lockPins(`${DIRECTORY}-other`, undefined, 0);
		first.release();
		other.release();
	});

	it('waits no longer than its signal', async () => {
		const first = await lockPins(DIRECTORY);
		await expect(lockPins(DIRECTORY, AbortSignal.timeout(60))).rejects.toThrow();
		first.release();
	});
});
