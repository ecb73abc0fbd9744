import { describe, expect, it } from 'vitest';
import { mountPoints } from '../../agent/bpf/mounts.ts';
import { nearestHz, probeCapabilities } from '../../agent/bpf/probe.ts';

const MOUNTINFO = [
	'24 1 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw',
	'30 24 0:26 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro,mode=755',
	'31 30 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate',
	'32 30 0:28 / /sys/fs/cgroup/cpu rw shared:11 - cgroup cgroup rw,cpu',
	'40 24 0:33 / /mnt/a\\040b\\134c rw - cgroup2 none rw',
	'41 24 0:34 / /mnt/cgroup2 rw - tmpfs cgroup2 rw',
	'',
].join('\n');

describe('mountPoints()', () => {
	it('finds a type, not a source or path of that name, and decodes octal', () => {
		expect(mountPoints(MOUNTINFO, 'cgroup2')).toEqual(['/sys/fs/cgroup/unified', '/mnt/a b\\c']);
		expect(mountPoints(MOUNTINFO, 'bpf')).toEqual([]);
	});
});

describe('probeCapabilities()', () => {
	it.each([
		['0000000000200000', true, 'CAP_SYS_ADMIN'],
		['000001c000001000', true, 'CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON'],
		['0000008000001000', true, 'CAP_BPF, CAP_NET_ADMIN'],
		['0000008000000000', false, 'CAP_NET_ADMIN missing; run as root or add the capabilities'],
		['0000000000000000', false, 'CAP_BPF and CAP_NET_ADMIN missing; run as root or add the capabilities'],
	])('reads %s as %s', (effective, ok, why) => {
		expect(probeCapabilities(`Name:\tnode\nCapEff:\t${effective}\nCapBnd:\t0\n`)).toEqual({ ok, why });
	});
});

describe('nearestHz()', () => {
	it.each([
		[10, 100, 100],
		[11, 104, 100],
		[25, 100, 250],
		[26, 100, 250],
		[29, 100, 300],
		[31, 101, 300],
		[99, 100, 1000],
	])('takes %i jiffies in %i ms for %i', (jiffies, milliseconds, hz) => {
		expect(nearestHz(jiffies, milliseconds)).toBe(hz);
	});
});
