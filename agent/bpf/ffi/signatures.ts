import type { ArgClass, Failure, ResultClass, Signature } from './types.ts';

/** libbpf functions that return -errno. */
function bpf<const A extends readonly ArgClass[]>(...args: A) {
	return { library: 'libbpf', result: 'i32', args, failure: 'negative' } as const satisfies Signature;
}

/** libbpf functions that return data, or a pointer and set errno when it is NULL. */
function get<const R extends ResultClass, const A extends readonly ArgClass[]>(result: R, ...args: A) {
	return {
		library: 'libbpf',
		result,
		args,
		failure: (result === 'ptr' ? 'errno' : 'never') as Failure,
	} as const;
}

function libc<const R extends ResultClass, const A extends readonly ArgClass[]>(result: R, ...args: A) {
	return { library: 'libc', result, args, failure: 'errno' as Failure } as const;
}

function optional<const S extends Signature>(signature: S) {
	return { ...signature, optional: true } as const;
}

/**
 * Every called C function, as declared by <bpf/bpf.h>, <bpf/libbpf.h>, <bpf/btf.h> of libbpf 1.x
 * and by libc. A wrong entry corrupts memory silently: test/bpf/binding-signatures.test.ts compares
 * all entries with the headers.
 */
export const SIGNATURES = {
	libbpf_version_string: get('str'),
	libbpf_set_print: get('u64', 'ptr'),
	libbpf_num_possible_cpus: bpf(),

	bpf_object__open_file: get('ptr', 'str', 'ptr'),
	bpf_object__load: bpf('ptr'),
	bpf_object__close: get('void', 'ptr'),
	bpf_object__btf: get('u64', 'ptr'),
	bpf_object__next_map: get('u64', 'ptr', 'ptr'),
	bpf_object__next_program: get('u64', 'ptr', 'ptr'),
	btf__raw_data: get('ptr', 'ptr', 'ptr'),
	btf__fd: get('i32', 'ptr'),

	bpf_map__name: get('str', 'ptr'),
	bpf_map__fd: get('i32', 'ptr'),
	bpf_map__type: get('i32', 'ptr'),
	bpf_map__key_size: get('u32', 'ptr'),
	bpf_map__value_size: get('u32', 'ptr'),
	bpf_map__max_entries: get('u32', 'ptr'),
	bpf_map__map_flags: get('u32', 'ptr'),
	bpf_map__set_max_entries: bpf('ptr', 'u32'),
	bpf_map__set_pin_path: bpf('ptr', 'str'),
	bpf_map__pin_path: get('str', 'ptr'),
	bpf_map__initial_value: get('ptr', 'ptr', 'ptr'),
	bpf_map__set_initial_value: bpf('ptr', 'ptr', 'u64'),

	bpf_program__name: get('str', 'ptr'),
	bpf_program__section_name: get('str', 'ptr'),
	bpf_program__fd: get('i32', 'ptr'),
	bpf_program__set_autoload: bpf('ptr', 'bool'),
	bpf_program__autoload: get('bool', 'ptr'),
	bpf_program__set_flags: bpf('ptr', 'u32'),
	bpf_program__insn_cnt: get('u64', 'ptr'),

	bpf_map_create: bpf('i32', 'str', 'u32', 'u32', 'u32', 'ptr'),
	bpf_map_lookup_elem: bpf('i32', 'ptr', 'ptr'),
	bpf_map_update_elem: bpf('i32', 'ptr', 'ptr', 'u64'),
	bpf_map_delete_elem: bpf('i32', 'ptr'),
	bpf_map_get_next_key: bpf('i32', 'ptr', 'ptr'),
	bpf_map_lookup_batch: bpf('i32', 'ptr', 'ptr', 'ptr', 'ptr', 'ptr', 'ptr'),
	bpf_map_update_batch: bpf('i32', 'ptr', 'ptr', 'ptr', 'ptr'),
	bpf_map_delete_batch: bpf('i32', 'ptr', 'ptr', 'ptr'),

	bpf_obj_pin: bpf('i32', 'str'),
	bpf_obj_get: bpf('str'),
	bpf_obj_get_info_by_fd: bpf('i32', 'ptr', 'ptr'),
	bpf_btf_get_fd_by_id: bpf('u32'),
	bpf_btf_load: bpf('ptr', 'u64', 'ptr'),
	bpf_link_create: bpf('i32', 'i32', 'i32', 'ptr'),
	bpf_link_update: bpf('i32', 'i32', 'ptr'),
	bpf_link_detach: bpf('i32'),
	bpf_prog_test_run_opts: bpf('i32', 'ptr'),
	bpf_prog_query_opts: optional(bpf('i32', 'i32', 'ptr')),

	bpf_xdp_attach: bpf('i32', 'i32', 'u32', 'ptr'),
	bpf_xdp_query_id: bpf('i32', 'i32', 'ptr'),
	bpf_tc_hook_create: bpf('ptr'),
	bpf_tc_hook_destroy: bpf('ptr'),
	bpf_tc_attach: bpf('ptr', 'ptr'),
	bpf_tc_detach: bpf('ptr', 'ptr'),
	bpf_tc_query: bpf('ptr', 'ptr'),

	memcpy: { ...libc('ptr', 'ptr', 'ptr', 'u64'), failure: 'never' },
	strlen: { ...libc('u64', 'ptr'), failure: 'never' },
	vsnprintf: libc('i32', 'ptr', 'u64', 'ptr', 'ptr'),
	close: libc('i32', 'i32'),
	flock: libc('i32', 'i32', 'i32'),
	ioctl: libc('i32', 'i32', 'u64', 'ptr'),
	socket: libc('i32', 'i32', 'i32', 'i32'),
	getsockopt: libc('i32', 'i32', 'i32', 'i32', 'ptr', 'ptr'),
	setsockopt: libc('i32', 'i32', 'i32', 'i32', 'ptr', 'u32'),
	getsockname: libc('i32', 'i32', 'ptr', 'ptr'),
	bind: libc('i32', 'i32', 'ptr', 'u32'),
	listen: libc('i32', 'i32', 'i32'),
	connect: libc('i32', 'i32', 'ptr', 'u32'),
	send: libc('i64', 'i32', 'ptr', 'u64', 'i32'),
	sendto: libc('i64', 'i32', 'ptr', 'u64', 'i32', 'ptr', 'u32'),
	recv: libc('i64', 'i32', 'ptr', 'u64', 'i32'),
	recvfrom: libc('i64', 'i32', 'ptr', 'u64', 'i32', 'ptr', 'ptr'),
	recvmsg: libc('i64', 'i32', 'ptr', 'i32'),
	setrlimit: libc('i32', 'i32', 'ptr'),
	setns: libc('i32', 'i32', 'i32'),
	unshare: libc('i32', 'i32'),
	mount: libc('i32', 'str', 'str', 'str', 'u64', 'ptr'),
	umount2: libc('i32', 'str', 'i32'),
	/** syscall(2) with all six arguments. Unused ones are 0. */
	syscall: libc('i64', 'i64', 'u64', 'u64', 'u64', 'u64', 'u64', 'u64'),
} as const satisfies Record<string, Signature>;

export const SONAMES = { libbpf: 'libbpf.so.1', libc: 'libc.so.6' } as const;
