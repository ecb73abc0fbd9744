import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import type { BpfLink } from '../../agent/bpf/link.ts';
import { adoptLink, attachCgroup, attachXdp, openPinnedLink } from '../../agent/bpf/link.ts';
import { BpfObject } from '../../agent/bpf/object.ts';
import { probe } from '../../agent/bpf/probe.ts';
import { attachTc, findTc, type TcAttachment } from '../../agent/bpf/tc.ts';
import { AttachType } from '../../agent/bpf/uapi.ts';
import { compile, FFIS, natives, workspace } from './binding-setup.ts';

const CLONE_NEWNET = 0x40000000;
/** Linux has TCX since 6.6. */
const hasTcx = probe(openNative('koffi'), '/sys/fs/bpf').tcx.ok;
const work = workspace('link');
const all = natives();
let file: string;
let ifindex: number;

const run = (...command: string[]) => execFileSync(command[0]!, command.slice(1), { encoding: 'utf8' });
const makeDevices = () => {
	run('ip', 'link', 'add', 'mlb0', 'type', 'veth', 'peer', 'name', 'mlb1');
	run('ip', 'link', 'set', 'mlb0', 'up');
	return Number((JSON.parse(run('ip', '-j', 'link', 'show', 'mlb0')) as { ifindex: number }[])[0]!.ifindex);
};

beforeAll(() => {
	// A namespace for the thread of this process only. The kernel removes it with the process.
	expect(all.get('koffi')!.call.unshare(CLONE_NEWNET)).toBe(0);
	file = compile('hooks.bpf.c', work.folder);
	ifindex = makeDevices();
});
afterAll(() => {
	for (const native of all.values()) native.log.close();
	work.remove();
});

describe.each(FFIS)('links by %s', (ffi) => {
	const native = all.get(ffi)!;
	const open: { close(): void }[] = [];
	const keep = <T extends BpfLink | TcAttachment>(link: T): T => {
		open.push(link);
		return link;
	};
	const pin = (name: string) => join(work.pins, `${ffi}-${name}`);
	let object: BpfObject;

	beforeAll(() => {
		object = BpfObject.open(native, file);
		object.load();
	});
	afterEach(() => {
		for (const link of open.splice(0)) link.close();
	});
	afterAll(() => object.close());

	it.each(['native', 'generic'] as const)(
		'attachXdp(%s) attaches, tells its state, updates and detaches',
		(mode) => {
			const link = keep(attachXdp(native, object.program('pass'), ifindex, mode));
			const state = { kind: 'xdp', programId: object.program('pass').id, ifindex };
			expect(link.state()).toMatchObject(state);
			const shown = JSON.parse(run('ip', '-j', 'link', 'show', 'mlb0')) as { xdp: { mode: number } }[];
			expect(shown[0]!.xdp.mode).toBe(mode === 'native' ? 1 : 2);
			link.update(object.program('grow'));
			expect(link.state().programId).toBe(object.program('grow').id);
			link.detach();
			expect(link.state().ifindex).toBe(0);
			expect(run('ip', '-j', 'link', 'show', 'mlb0')).not.toContain('"xdp"');
		},
	);

	it('attachXdp() refuses an unknown device and a busy one', () => {
		expect(() => attachXdp(native, object.program('pass'), 9999, 'native')).toThrow(
			'Cannot attach program pass to XDP (native) of device 9999: EINVAL',
		);
		keep(attachXdp(native, object.program('pass'), ifindex, 'native'));
		expect(() => attachXdp(native, object.program('pass'), ifindex, 'native')).toThrow('EBUSY');
	});

	it('update() refuses a program of another type', () => {
		const link = keep(attachXdp(native, object.program('pass'), ifindex, 'native'));
		expect(() => link.update(object.program('context'))).toThrow(/^Cannot put program context into link XDP/);
	});

	it('a pinned link outlives close() and is adopted with a new program in place', () => {
		const path = pin('xdp');
		const make = () => attachXdp(native, object.program('pass'), ifindex, 'native');
		const fits = (state: { ifindex: number | undefined }) => state.ifindex === ifindex;
		adoptLink(native, path, object.program('pass'), fits, make).close();
		const refuse = () => {
			throw new Error('It is there: it must be adopted');
		};
		const again = keep(adoptLink(native, path, object.program('grow'), fits, refuse));
		expect(again.state()).toMatchObject({ programId: object.program('grow').id, ifindex });
		again.detach();
		// A detached link has no device, so adoptLink() replaces it.
		const replaced = keep(adoptLink(native, path, object.program('pass'), fits, make));
		expect(replaced.state()).toMatchObject({ programId: object.program('pass').id, ifindex });
		replaced.detach();
		run('rm', path);
		expect(openPinnedLink(native, path)).toBeUndefined();
	});

	it.each([
		...(hasTcx
			? ([
					['tcx', 'ingress'],
					['tcx', 'egress'],
				] as const)
			: []),
		['clsact', 'ingress'],
		['clsact', 'egress'],
	] as const)('attachTc(%s, %s) attaches, adopts, updates in place, detaches', (mechanism, direction) => {
		const path = pin(`tc-${direction}`);
		const target = { ifindex, direction };
		const [first, second] = [object.program('variables'), object.program('context')];
		expect(findTc(native, target, path)).toBeUndefined();
		attachTc(native, first, target, path, { mechanism }).close();
		const found = keep(findTc(native, target, path)!);
		expect([found.mechanism, found.programId()]).toEqual([mechanism, first.id]);
		const again = keep(attachTc(native, second, target, path, { mechanism }));
		expect([again.programId(), found.programId()]).toEqual([second.id, second.id]);
		expect(existsSync(path)).toBe(mechanism === 'tcx');
		again.update(first);
		expect(found.programId()).toBe(first.id);
		again.detach();
		expect(findTc(native, target, path)).toBeUndefined();
		expect(existsSync(path)).toBe(false);
	});

	it('attachTc() falls back to a filter where TCX is unknown, and shows it in tc', () => {
		const old = { ...native, call: { ...native.call, bpf_link_create: () => -22 } };
		const target = { ifindex, direction: 'ingress' } as const;
		const attached = keep(attachTc(old, object.program('variables'), target, pin('old')));
		expect(attached.mechanism).toBe('clsact');
		expect(run('tc', 'filter', 'show', 'dev', 'mlb0', 'ingress')).toContain('direct-action');
		expect(() =>
			attachTc(old, object.program('variables'), target, pin('old'), { mechanism: 'tcx' }),
		).toThrow('EINVAL');
		attached.detach();
		expect(run('tc', 'filter', 'show', 'dev', 'mlb0', 'ingress')).toBe('');
	});

	it('attachCgroup() attaches to a cgroup of its own', () => {
		const mount = /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/mounts', 'utf8'))![1]!;
		const path = join(mount, `mlb-${ffi}-${process.pid}`);
		mkdirSync(path);
		try {
			const link = keep(
				attachCgroup(native, object.program('connect'), path, AttachType.CGROUP_INET4_CONNECT),
			);
			const id = BigInt(statSync(path).ino);
			const type = AttachType.CGROUP_INET4_CONNECT;
			expect(link.state()).toMatchObject({ kind: 'cgroup', cgroupId: id, attachType: type });
			expect(() => attachCgroup(native, object.program('connect'), path, AttachType.XDP)).toThrow('EINVAL');
			link.detach();
			expect(link.state().cgroupId).toBe(0n);
		} finally {
			rmdirSync(path);
		}
	});

	it('a link of a device that is gone says device 0', () => {
		run('ip', 'link', 'add', 'mlb2', 'type', 'veth', 'peer', 'name', 'mlb3');
		const index = (JSON.parse(run('ip', '-j', 'link', 'show', 'mlb2')) as { ifindex: number }[])[0]!.ifindex;
		const xdp = keep(attachXdp(native, object.program('pass'), index, 'native'));
		const target = { ifindex: index, direction: 'ingress' } as const;
		const tc = keep(attachTc(native, object.program('variables'), target, pin('gone')));
		run('ip', 'link', 'del', 'mlb2');
		expect(xdp.state().ifindex).toBe(0);
		expect(tc.programId()).toBeUndefined();
		run('rm', '-f', pin('gone'));
	});
});
