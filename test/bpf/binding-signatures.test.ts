import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { SIGNATURES } from '../../agent/bpf/ffi/signatures.ts';
import type { Signature } from '../../agent/bpf/ffi/types.ts';

const HEADERS = [
	'bpf/bpf.h',
	'bpf/libbpf.h',
	'bpf/btf.h',
	'string.h',
	'stdio.h',
	'unistd.h',
	'sched.h',
	'sys/socket.h',
	'sys/ioctl.h',
	'sys/file.h',
	'sys/mount.h',
	'sys/resource.h',
];

/** The headers without comments and macros, on one line. */
function preprocessed(): string {
	const source = `#define _GNU_SOURCE\n${HEADERS.map((header) => `#include <${header}>`).join('\n')}\n`;
	const text = execFileSync('clang', ['-E', '-P', '-x', 'c', '-'], {
		input: source,
		encoding: 'utf8',
		maxBuffer: 1 << 25,
	});
	return text.replaceAll(/__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)/g, ' ').replaceAll(/\s+/g, ' ');
}

const INTEGERS: Record<string, string> = {
	int: 'i32',
	'unsigned int': 'u32',
	__u32: 'u32',
	__u64: 'u64',
	size_t: 'u64',
	'unsigned long': 'u64',
	'unsigned long int': 'u64',
	long: 'i64',
	'long int': 'i64',
	ssize_t: 'i64',
	__rlimit_resource_t: 'i32',
	bool: 'bool',
	_Bool: 'bool',
	socklen_t: 'u32',
	void: 'void',
};

/** The class of a C type, with or without a parameter name after it. */
function classOf(type: string): string {
	const plain = type
		.replaceAll(/\b(const|extern|restrict|__restrict|enum umount2_flags)\b/g, ' ')
		.replaceAll(/\s+/g, ' ')
		.trim();
	if (plain.includes('*') || /va_list|libbpf_print_fn_t|SOCKADDR_ARG/.test(plain)) return 'ptr';
	if (/^enum /.test(plain)) return 'i32';
	for (const [name, found] of Object.entries(INTEGERS)) {
		if (plain === name || new RegExp(`^${name} \\w+$`).test(plain)) return found;
	}
	return `unknown (${type})`;
}

/** [result, ...arguments] of a function in the headers. */
function prototype(headers: string, name: string): string[] | undefined {
	const match = new RegExp(`(?:^|[;}])([^;{}()]*[\\s*])${name}\\s*\\(([^()]*)\\)`).exec(headers);
	if (!match) return undefined;
	const args = match[2]!.trim();
	const result = classOf(match[1]!);
	return [result, ...(args === 'void' || args === '' ? [] : args.split(',').map((arg) => classOf(arg)))];
}

/** Strings, pointers, and pointers kept as numbers are one class in C. */
const inC = (type: string) => (type === 'str' ? 'ptr' : type);

describe('SIGNATURES', () => {
	const headers = preprocessed();

	it.each(Object.entries<Signature>(SIGNATURES))('%s is declared so', (name, signature) => {
		const found = prototype(headers, name);
		if (!found) throw new Error(`No prototype of ${name} in ${HEADERS.join(', ')}`);
		const [result, ...args] = found;
		const expected = signature.args.map(inC);
		if (args.at(-1) === 'unknown ( ...)') {
			// For a variadic function, the arguments named in the header must agree.
			expect(expected.slice(0, args.length - 1)).toEqual(args.slice(0, -1));
		} else {
			expect(args).toEqual(expected);
		}
		expect(result).toBe(signature.result === 'u64' && result === 'ptr' ? 'ptr' : inC(signature.result));
	});

	it('would notice a wrong width, a missing argument and a pointer given as integer', () => {
		expect(prototype(headers, 'bpf_map_update_elem')).toEqual(['i32', 'i32', 'ptr', 'ptr', 'u64']);
		expect(prototype(headers, 'bpf_program__set_autoload')).toEqual(['i32', 'ptr', 'bool']);
		expect(prototype(headers, 'bpf_link_create')).toEqual(['i32', 'i32', 'i32', 'i32', 'ptr']);
		expect(prototype(headers, 'libbpf_set_print')).toEqual(['ptr', 'ptr']);
		expect(prototype(headers, 'no_such_function')).toBeUndefined();
	});

	it('has no floating point, struct or 8-bit argument, which the two FFIs would pass otherwise', () => {
		const classes = new Set(
			Object.values<Signature>(SIGNATURES).flatMap(({ args, result }) => [...args, result]),
		);
		const allowed = ['i32', 'u32', 'u64', 'i64', 'bool', 'ptr', 'str', 'void'];
		expect([...classes].filter((type) => !allowed.includes(type))).toEqual([]);
	});
});
