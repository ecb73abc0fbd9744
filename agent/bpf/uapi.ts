/**
 * Structs of <linux/bpf.h> and of libbpf's options, as far as they are used. The kernel and libbpf
 * treat missing bytes at the end as zero, so fields that newer versions appended may be absent
 * here.
 */
import { bytes, u32, u64 } from '../abi/codec.ts';
import { type StructCodec, struct } from '../abi/struct.ts';

/** enum bpf_map_type, the used values. */
export const MapType = {
	HASH: 1,
	ARRAY: 2,
	PERCPU_HASH: 5,
	PERCPU_ARRAY: 6,
	LRU_HASH: 9,
	LRU_PERCPU_HASH: 10,
	ARRAY_OF_MAPS: 12,
} as const;

/** enum bpf_attach_type. */
export const AttachType = {
	CGROUP_INET4_CONNECT: 10,
	CGROUP_INET6_CONNECT: 11,
	CGROUP_UDP4_SENDMSG: 14,
	CGROUP_UDP6_SENDMSG: 15,
	CGROUP_UDP4_RECVMSG: 19,
	CGROUP_UDP6_RECVMSG: 20,
	CGROUP_INET4_GETPEERNAME: 29,
	CGROUP_INET6_GETPEERNAME: 30,
	CGROUP_INET4_GETSOCKNAME: 31,
	CGROUP_INET_SOCK_RELEASE: 34,
	XDP: 37,
	TCX_INGRESS: 46,
	TCX_EGRESS: 47,
} as const;
export type AttachType = (typeof AttachType)[keyof typeof AttachType];

/** Flags of BPF_PROG_LOAD: BPF_F_XDP_HAS_FRAGS (5.18). */
export const ProgramFlag = { XDP_HAS_FRAGS: 1 << 5 } as const;

/** enum bpf_link_type. */
export const LinkType = { CGROUP: 3, XDP: 6, TCX: 11 } as const;

export interface MapInfo {
	type: number;
	id: number;
	keySize: number;
	/** Bytes; of one CPU for per-CPU maps. */
	valueSize: number;
	maxEntries: number;
	mapFlags: number;
	name: Uint8Array;
	/** 0 without BTF. */
	btfId: number;
	btfKeyTypeId: number;
	btfValueTypeId: number;
}

/** struct bpf_map_info. */
export const mapInfoCodec: StructCodec<MapInfo> = struct<MapInfo>(
	'bpf_map_info',
	80,
	{
		type: ['type', 0, u32],
		id: ['id', 4, u32],
		keySize: ['key_size', 8, u32],
		valueSize: ['value_size', 12, u32],
		maxEntries: ['max_entries', 16, u32],
		mapFlags: ['map_flags', 20, u32],
		name: ['name', 24, bytes(16)],
		btfId: ['btf_id', 64, u32],
		btfKeyTypeId: ['btf_key_type_id', 68, u32],
		btfValueTypeId: ['btf_value_type_id', 72, u32],
	},
	[
		['ifindex to netns_ino', 40, 24],
		['btf_vmlinux_id', 76, 4],
	],
);

export interface LinkInfo {
	/** enum bpf_link_type. */
	type: number;
	id: number;
	programId: number;
	/** XDP and TCX: the device, 0 when it is gone. Cgroup: low half of the cgroup's id. */
	target: number;
	/** TCX: the attach type. Cgroup: high half of the cgroup's id. */
	second: number;
	/** Cgroup: the attach type. */
	third: number;
}

/** struct bpf_link_info; the union by position. */
export const linkInfoCodec: StructCodec<LinkInfo> = struct<LinkInfo>(
	'bpf_link_info',
	32,
	{
		type: ['type', 0, u32],
		id: ['id', 4, u32],
		programId: ['prog_id', 8, u32],
		target: ['target', 16, u32],
		second: ['second', 20, u32],
		third: ['third', 24, u32],
	},
	[
		['pad', 12, 4],
		['rest', 28, 4],
	],
);

/** The beginning of struct bpf_prog_info. */
export const progInfoCodec: StructCodec<{ type: number; id: number }> = struct(
	'bpf_prog_info',
	8,
	{ type: ['type', 0, u32], id: ['id', 4, u32] },
	[],
);

export interface MapCreateOpts {
	sz: bigint;
	btfFd: number;
	btfKeyTypeId: number;
	btfValueTypeId: number;
	mapFlags: number;
}

/** struct bpf_map_create_opts. */
export const mapCreateOptsCodec: StructCodec<MapCreateOpts> = struct<MapCreateOpts>(
	'bpf_map_create_opts',
	56,
	{
		sz: ['sz', 0, u64],
		btfFd: ['btf_fd', 8, u32],
		btfKeyTypeId: ['btf_key_type_id', 12, u32],
		btfValueTypeId: ['btf_value_type_id', 16, u32],
		mapFlags: ['map_flags', 28, u32],
	},
	[
		['btf_vmlinux_value_type_id, inner_map_fd', 20, 8],
		['map_extra, numa_node, map_ifindex', 32, 24],
	],
);

/** struct bpf_link_create_opts; all fields after flags are zero. */
export const linkCreateOptsCodec: StructCodec<{ sz: bigint; flags: number }> = struct(
	'bpf_link_create_opts',
	64,
	{ sz: ['sz', 0, u64], flags: ['flags', 8, u32] },
	[['rest', 12, 52]],
);

export interface TestRunOpts {
	sz: bigint;
	dataIn: bigint;
	dataOut: bigint;
	dataSizeIn: number;
	dataSizeOut: number;
	ctxIn: bigint;
	ctxOut: bigint;
	ctxSizeIn: number;
	ctxSizeOut: number;
	retval: number;
	repeat: number;
	/** ns per run. */
	duration: number;
	flags: number;
}

/** struct bpf_test_run_opts. */
export const testRunOptsCodec: StructCodec<TestRunOpts> = struct<TestRunOpts>(
	'bpf_test_run_opts',
	80,
	{
		sz: ['sz', 0, u64],
		dataIn: ['data_in', 8, u64],
		dataOut: ['data_out', 16, u64],
		dataSizeIn: ['data_size_in', 24, u32],
		dataSizeOut: ['data_size_out', 28, u32],
		ctxIn: ['ctx_in', 32, u64],
		ctxOut: ['ctx_out', 40, u64],
		ctxSizeIn: ['ctx_size_in', 48, u32],
		ctxSizeOut: ['ctx_size_out', 52, u32],
		retval: ['retval', 56, u32],
		repeat: ['repeat', 60, u32],
		duration: ['duration', 64, u32],
		flags: ['flags', 68, u32],
	},
	[['cpu, batch_size', 72, 8]],
);

export interface TcHook {
	sz: bigint;
	ifindex: number;
	/** enum bpf_tc_attach_point: 1 ingress, 2 egress. */
	attachPoint: number;
}

/** struct bpf_tc_hook. */
export const tcHookCodec: StructCodec<TcHook> = struct<TcHook>(
	'bpf_tc_hook',
	24,
	{ sz: ['sz', 0, u64], ifindex: ['ifindex', 8, u32], attachPoint: ['attach_point', 12, u32] },
	[['parent', 16, 8]],
);

export interface TcOpts {
	sz: bigint;
	progFd: number;
	/** 1: replace. */
	flags: number;
	progId: number;
	handle: number;
	priority: number;
}

/** struct bpf_tc_opts. */
export const tcOptsCodec: StructCodec<TcOpts> = struct<TcOpts>(
	'bpf_tc_opts',
	32,
	{
		sz: ['sz', 0, u64],
		progFd: ['prog_fd', 8, u32],
		flags: ['flags', 12, u32],
		progId: ['prog_id', 16, u32],
		handle: ['handle', 20, u32],
		priority: ['priority', 24, u32],
	},
	[['pad', 28, 4]],
);
