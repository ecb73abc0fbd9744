import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { silent } from '../support/log.ts';
import { FFIS, natives } from './binding-setup.ts';

const native = resolve(import.meta.dirname, '../../agent/bpf/ffi/native.ts');
const absent = '/nonexistent/mlb-absent.o';

const all = natives();

interface Heard {
	readonly event: string;
	readonly message: string;
}

/** A log sink that records its calls. */
function sink() {
	const warned: Heard[] = [];
	const debugged: Heard[] = [];
	const into = (list: Heard[]) => (fields: object, event: string) => {
		list.push({ event, message: (fields as { message: string }).message });
	};
	return { ...silent, warned, debugged, warn: into(warned), debug: into(debugged) };
}

describe.each(FFIS)('callbacks by %s', (ffi) => {
	it('a callback that only C refers to is not collected', () => {
		const script = `
			import { openNative } from ${JSON.stringify(native)};
			let heard = 0;
			const call = (() => {
				const { call } = openNative('${ffi}', { warn: () => heard++, debug: () => {} });
				return call;
			})();
			for (let i = 0; i < 20; i++) {
				globalThis.gc();
				await new Promise((done) => setImmediate(done));
				Array.from({ length: 2e4 }, (_, n) => ({ n }));
			}
			for (let i = 0; i < 50; i++) call.bpf_object__open_file('${absent}', null);
			console.log(heard);
		`;
		const args = ['--expose-gc', '--input-type=module-typescript', '--no-warnings', '-e', script];
		const cwd = join(import.meta.dirname, '../..');
		expect(execFileSync(process.execPath, args, { encoding: 'utf8', cwd }).trim()).toBe('50');
	});

	it('libbpf warnings reach the sink formatted, other messages at debug', () => {
		const heard = sink();
		const opened = openNative(ffi, heard);
		opened.call.bpf_object__open_file(absent, null);
		opened.log.close();
		expect(heard.warned).toEqual([
			{ event: 'libbpf', message: `elf: failed to open ${absent}: No such file or directory` },
		]);
		expect(heard.debugged.map(({ message }) => message)).toContain(`loading object from ${absent}`);
	});

	it('capture() takes the warnings of one call, and only those, out of the log', () => {
		const heard = sink();
		const opened = openNative(ffi, heard);
		const { result, warnings } = opened.log.capture(() => opened.call.bpf_object__open_file(absent, null));
		opened.call.bpf_object__open_file(`${absent}2`, null);
		opened.log.close();
		expect([result, warnings]).toEqual([0n, `elf: failed to open ${absent}: No such file or directory\n`]);
		expect(heard.warned.map(({ message }) => message)).toEqual([
			`elf: failed to open ${absent}2: No such file or directory`,
		]);
	});

	it('formats messages of any length', () => {
		const heard = sink();
		const opened = openNative(ffi, heard);
		const long = `/${'x'.repeat(200)}`.repeat(15);
		opened.call.bpf_object__open_file(long, null);
		opened.log.close();
		expect(heard.warned[0]?.message).toBe(`elf: failed to open ${long}: No such file or directory`);
	});

	it('a sink that throws does not reach C', () => {
		const broken = {
			...silent,
			warn: () => {
				throw new Error('The sink is broken');
			},
		};
		const opened = openNative(ffi, broken);
		expect(opened.call.bpf_object__open_file(absent, null)).toBe(0n);
		expect(opened.errno()).toBe(2);
		opened.log.close();
	});
});

describe.each(FFIS)('Native by %s', (ffi) => {
	const opened = all.get(ffi)!;
	const { call } = opened;

	it('refuses arguments of another class, which C would take for an address or cut', () => {
		expect(() => call.strlen(5 as never)).toThrow('Argument 1 of strlen() must be ptr, got number 5');
		expect(() => call.close(2 ** 31)).toThrow('Argument 1 of close() must be i32, got number 2147483648');
		expect(() => call.close(1.5)).toThrow('must be i32');
		expect(() => call.bpf_map_create(1, 'm', -1, 8, 1, null)).toThrow(
			'Argument 3 of bpf_map_create() must be u32',
		);
		expect(() => call.bpf_obj_get('a\0b')).toThrow('Argument 1 of bpf_obj_get() must be str');
		expect(() => (call.close as (...args: unknown[]) => number)()).toThrow(
			'close() takes 1 arguments, got 0',
		);
	});

	it('gives -errno for libc and for libbpf, and errno behind NULL', () => {
		expect([call.close(999_999), call.bpf_obj_get(absent), call.setns(999_999, 0)]).toEqual([-9, -2, -9]);
		expect(call.bpf_object__open_file(absent, null)).toBe(0n);
		expect(opened.errno()).toBe(2);
	});

	it('passes all widths, signs and six and more arguments', () => {
		const getpid = process.arch === 'arm64' ? 172 : 39;
		expect(call.syscall(getpid, 0, 0, 0, 0, 0, 0)).toBe(process.pid);
		expect(call.syscall(-1, 0, 0, 0, 0, 0, 0)).toBe(-38);
		const bytes = Uint8Array.of(0x61, 0xc3, 0xa9, 0);
		const address = opened.address(bytes);
		expect([call.strlen(bytes), call.strlen(address), call.strlen(bytes.subarray(1))]).toEqual([3n, 3n, 2n]);
		expect([opened.readString(address), [...opened.read(address, 2)]]).toEqual(['aé', [0x61, 0xc3]]);
		expect(call.memcpy(bytes, Uint8Array.of(0x62), 1)).toBe(address);
		expect(bytes[0]).toBe(0x62);
	});

	it('knows the version of libbpf and the number of CPUs', () => {
		expect(opened.libbpfVersion).toMatch(/^v1\.\d+/);
		expect(call.libbpf_num_possible_cpus()).toBeGreaterThan(0);
	});
});
