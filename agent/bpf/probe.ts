/** What this kernel can do and this process may do, each found by trying it. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { check } from './call.ts';
import type { Native } from './ffi/native.ts';
import { cgroup2Mount, isOnBpffs } from './mounts.ts';
import { Program } from './program.ts';
import { call, exit, loadTiny, ProgramType, set, type TinyProgram } from './tiny-program.ts';
import { AttachType } from './uapi.ts';

/** One answer; `why` tells a person what follows, and what would help. */
export interface Feature {
	readonly ok: boolean;
	readonly why: string;
}

export interface Features {
	/** CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN. */
	readonly capabilities: Feature;
	readonly bpffs: Feature;
	readonly cgroup2: Feature;
	/** TCX links (6.6); else clsact filters. */
	readonly tcx: Feature;
	/** bpf_set_retval() (5.18): a connect() to a Service without backends gives ECONNREFUSED, not EPERM. */
	readonly setRetval: Feature;
	/** BPF_F_IPV6 of bpf_l4_csum_replace() (6.16): IPv6 with receive checksums of the driver. */
	readonly checksumIpv6: Feature;
	/** Only privileged users may load BPF programs. */
	readonly unprivilegedOff: Feature;
}

const HELPER = { L4_CSUM_REPLACE: 11, JIFFIES64: 118, SET_RETVAL: 187 } as const;
const BPF_F_IPV6 = 1 << 7;
const EFAULT = 14;
const ENODEV = 19;
const NO_DEVICE = 0x7fff_fff0;
const FRAME = new Uint8Array(64);
const CAPABILITIES = { NET_ADMIN: 12, SYS_ADMIN: 21, PERFMON: 38, BPF: 39 } as const;

/** Tries everything that needs no device; a few milliseconds. Without capabilities the BPF answers are no. */
export function probe(native: Native, pinPath: string): Features {
	const capabilities = probeCapabilities(readFileSync('/proc/self/status', 'utf8'));
	const tried = (what: () => boolean, yes: string, no: string): Feature => {
		const ok = capabilities.ok && what();
		return { ok, why: ok ? yes : no };
	};
	return {
		capabilities,
		bpffs: isOnBpffs(pinPath)
			? { ok: true, why: `${pinPath} is on bpffs` }
			: { ok: false, why: `${pinPath} is not on bpffs; run \`mount -t bpf -o mode=700 bpf /sys/fs/bpf\`` },
		cgroup2: probeCgroup2(),
		tcx: tried(() => hasTcx(native), 'TCX links', 'no TCX before Linux 6.6: clsact filters'),
		setRetval: tried(
			() => hasSetRetval(native),
			'refused connections get ECONNREFUSED',
			'no bpf_set_retval() before Linux 5.18: refused connections get EPERM',
		),
		checksumIpv6: tried(
			() => hasChecksumIpv6(native),
			'IPv6 checksums by BPF_F_IPV6',
			'no BPF_F_IPV6 before Linux 6.16: IPv6 checksums are rewritten by hand',
		),
		unprivilegedOff: probeUnprivileged(),
	};
}

/** By the effective set of /proc/self/status. */
export function probeCapabilities(status: string): Feature {
	const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
	const has = (name: keyof typeof CAPABILITIES) => ((effective >> BigInt(CAPABILITIES[name])) & 1n) === 1n;
	if (has('SYS_ADMIN')) return { ok: true, why: 'CAP_SYS_ADMIN' };
	const missing = (['BPF', 'NET_ADMIN'] as const).filter((name) => !has(name)).map((name) => `CAP_${name}`);
	if (missing.length > 0)
		return { ok: false, why: `${missing.join(' and ')} missing; run as root or add the capabilities` };
	return { ok: true, why: has('PERFMON') ? 'CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON' : 'CAP_BPF, CAP_NET_ADMIN' };
}

function probeCgroup2(): Feature {
	const mount = cgroup2Mount();
	return mount
		? { ok: true, why: `cgroup v2 at ${mount}` }
		: { ok: false, why: 'cgroup v2 is not mounted; run `mount -t cgroup2 none /sys/fs/cgroup/unified`' };
}

function probeUnprivileged(): Feature {
	const path = '/proc/sys/kernel/unprivileged_bpf_disabled';
	try {
		const ok = readFileSync(path, 'utf8').trim() !== '0';
		return {
			ok,
			why: ok
				? `${path} is set`
				: `any user may load BPF; run \`sysctl -w kernel.unprivileged_bpf_disabled=1\``,
		};
	} catch {
		return { ok: true, why: `there is no ${path}` };
	}
}

/** Before 6.6 the attach type is unknown (EINVAL); after, it is the device that is. */
function hasTcx(native: Native): boolean {
	return withTiny(native, { type: ProgramType.SCHED_CLS, instructions: [set(0, 0), exit()] }, (program) => {
		const result = native.call.bpf_link_create(program.fd, NO_DEVICE, AttachType.TCX_INGRESS, null);
		if (result >= 0) native.call.close(result);
		return result === -ENODEV;
	});
}

function hasSetRetval(native: Native): boolean {
	const fd = loadTiny(native, {
		type: ProgramType.CGROUP_SOCK_ADDR,
		attachType: AttachType.CGROUP_INET4_CONNECT,
		instructions: [set(1, -111), call(HELPER.SET_RETVAL), set(0, 0), exit()],
	});
	if (fd >= 0) native.call.close(fd);
	return fd >= 0;
}

/** An odd offset is refused with EFAULT, but only after the flags, which are refused with EINVAL. */
function hasChecksumIpv6(native: Native): boolean {
	const instructions = [
		set(2, 1),
		set(3, 0),
		set(4, 0),
		set(5, BPF_F_IPV6),
		call(HELPER.L4_CSUM_REPLACE),
		exit(),
	];
	return withTiny(
		native,
		{ type: ProgramType.SCHED_CLS, instructions },
		(program) => program.testRun({ data: FRAME }).retval === 2 ** 32 - EFAULT,
	);
}

/** @throws BpfError when even that program is refused. */
function withTiny<T>(native: Native, tiny: TinyProgram, action: (program: Program) => T): T {
	const fd = check(loadTiny(native, tiny), 'load', 'a program of a few instructions');
	try {
		return action(new Program(native, fd, 'probe', ''));
	} finally {
		native.call.close(fd);
	}
}

/** Values of CONFIG_HZ. */
const RATES = [100, 250, 300, 1000] as const;
/** Long enough to tell 250 from 300 by whole jiffies. */
const MEASURE_MS = 100;

/** The CONFIG_HZ nearest to a measured rate. */
export function nearestHz(jiffies: number, milliseconds: number): number {
	const rate = (jiffies * 1000) / milliseconds;
	return RATES.reduce((best, hz) =>
		Math.abs(Math.log(hz / rate)) < Math.abs(Math.log(best / rate)) ? hz : best,
	);
}

/** Jiffies a second, by reading the jiffies twice; takes a tenth of a second, without blocking. */
export async function measureHz(native: Native, signal?: AbortSignal): Promise<number> {
	const instructions = [call(HELPER.JIFFIES64), exit()];
	const tiny = { type: ProgramType.SCHED_CLS, instructions };
	const read = () =>
		withTiny(native, tiny, (program) => {
			const before = performance.now();
			const { retval } = program.testRun({ data: FRAME });
			return { jiffies: retval, at: (before + performance.now()) / 2 };
		});
	const first = read();
	await sleep(MEASURE_MS, undefined, { signal });
	const second = read();
	return nearestHz((second.jiffies - first.jiffies) >>> 0, second.at - first.at);
}

/** SO_NETNS_COOKIE (5.14) of the current network namespace; 0 where the kernel has none. */
export function netnsCookie(native: Native): bigint {
	const [AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_NETNS_COOKIE] = [2, 2, 1, 71];
	const fd = check(native.call.socket(AF_INET, SOCK_DGRAM, 0), 'open', 'a socket');
	try {
		const cookie = new Uint8Array(8);
		const length = new Uint8Array(Uint32Array.of(8).buffer);
		const result = native.call.getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, length);
		return result < 0 ? 0n : new DataView(cookie.buffer).getBigUint64(0, true);
	} finally {
		native.call.close(fd);
	}
}
