/** Probes features of this kernel and capabilities of this process by trying each one. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { check } from './call.ts';
import type { SocketHook } from './cgroup-links.ts';
import type { Feature } from './feature.ts';
import type { Native } from './ffi/library.ts';
import { cgroup2Mount, isOnBpffs } from './mounts.ts';
import { type FibFeatures, fibConfig, probeFib } from './probe-fib.ts';
import { Program } from './program.ts';
import type { RodataValues } from './rodata.ts';
import { call, exit, loadTiny, ProgramType, set, type TinyProgram } from './tiny-program.ts';
import { AttachType, ProgramFlag } from './uapi.ts';

export interface Features {
	/** CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN. */
	readonly capabilities: Feature;
	readonly bpffs: Feature;
	readonly cgroup2: Feature;
	/** TCX links (6.6); else clsact filters. */
	readonly tcx: Feature;
	/**
	 * bpf_set_retval() (5.18): a connect() to a Service without backends fails with ECONNREFUSED, not
	 * EPERM.
	 */
	readonly setRetval: Feature;
	/** cgroup/sock_release (5.9): the entry of a socket is deleted when it closes. */
	readonly socketRelease: Feature;
	/** BPF_F_IPV6 of bpf_l4_csum_replace() (6.16): IPv6 with receive checksums of the driver. */
	readonly checksumIpv6: Feature;
	readonly fib: FibFeatures;
	/** XDP with multi-buffer frames (5.18): native XDP on devices with a large MTU. */
	readonly xdpFrags: Feature;
	/** Only privileged users may load BPF programs. */
	readonly unprivilegedOff: Feature;
}

const HELPER = { L4_CSUM_REPLACE: 11, SOCKET_COOKIE: 46, JIFFIES64: 118, SET_RETVAL: 187 } as const;
const BPF_F_IPV6 = 1 << 7;
const EFAULT = 14;
const ENODEV = 19;
const NO_DEVICE = 0x7fff_fff0;
const FRAME = new Uint8Array(64);
const CAPABILITIES = { NET_ADMIN: 12, SYS_ADMIN: 21, PERFMON: 38, BPF: 39 } as const;

/** Variables of bpf/config.h that follow from the features. */
export function featureConfig({ setRetval, xdpFrags, checksumIpv6, fib }: Features): RodataValues {
	return {
		have_set_retval: Number(setRetval.ok),
		have_xdp_frags: Number(xdpFrags.ok),
		have_csum_ipv6: Number(checksumIpv6.ok),
		...fibConfig(fib),
	};
}

/** Socket hooks that this kernel lacks. */
export function missingHooks({ socketRelease }: Pick<Features, 'socketRelease'>): SocketHook[] {
	return socketRelease.ok ? [] : ['release'];
}

/**
 * Probes all features that need no device, in a few milliseconds. Without capabilities, BPF
 * features count as absent.
 */
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
		socketRelease: tried(
			() => hasSocketRelease(native),
			'closed sockets are forgotten at once',
			'no cgroup/sock_release before Linux 5.9: 65 536 new sockets push an old one out of the map',
		),
		checksumIpv6: tried(
			() => hasChecksumIpv6(native),
			'IPv6 checksums by BPF_F_IPV6',
			'no BPF_F_IPV6 before Linux 6.16: IPv6 checksums are rewritten by hand',
		),
		fib: probeFib(native, capabilities.ok),
		xdpFrags: tried(
			() => hasXdpFrags(native),
			'XDP takes frames in several buffers',
			'no XDP frames in several buffers before Linux 5.18: devices with a large MTU are left to TC',
		),
		unprivilegedOff: probeUnprivileged(),
	};
}

/** From the effective set in /proc/self/status. */
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

/** Before 6.6 the attach type is unknown (EINVAL). From 6.6 on, only the device is (ENODEV). */
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

/** Older kernels refuse the unknown flag with EINVAL. */
function hasXdpFrags(native: Native): boolean {
	const XDP_PASS = 2;
	const fd = loadTiny(native, {
		type: ProgramType.XDP,
		flags: ProgramFlag.XDP_HAS_FRAGS,
		instructions: [set(0, XDP_PASS), exit()],
	});
	if (fd >= 0) native.call.close(fd);
	return fd >= 0;
}

function hasSocketRelease(native: Native): boolean {
	const fd = loadTiny(native, {
		type: ProgramType.CGROUP_SOCK,
		attachType: AttachType.CGROUP_INET_SOCK_RELEASE,
		instructions: [call(HELPER.SOCKET_COOKIE), set(0, 1), exit()],
	});
	if (fd >= 0) native.call.close(fd);
	return fd >= 0;
}

/** The helper checks flags first (EINVAL), then refuses an odd offset with EFAULT. */
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

/** @throws BpfError when the kernel refuses even this program. */
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
/** Long enough to distinguish 250 from 300 by whole jiffies. */
const MEASURE_MS = 100;

/** The CONFIG_HZ nearest to a measured rate. */
export function nearestHz(jiffies: number, milliseconds: number): number {
	const rate = (jiffies * 1000) / milliseconds;
	return RATES.reduce((best, hz) =>
		Math.abs(Math.log(hz / rate)) < Math.abs(Math.log(best / rate)) ? hz : best,
	);
}

/** Measures jiffies per second from two readings. Takes a tenth of a second, without blocking. */
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
