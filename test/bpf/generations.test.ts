import { closeSync, existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { attachCgroup, openPinnedLink } from '../../agent/bpf/link.ts';
import { lockPins } from '../../agent/bpf/lock.ts';
import type { Program } from '../../agent/bpf/program.ts';
import { exit, loadTiny, ProgramType, set } from '../../agent/bpf/tiny-program.ts';
import { AttachType } from '../../agent/bpf/uapi.ts';
import { run, TestNode } from './dataplane-node.ts';

const native = openNative('koffi');
let node: TestNode;
/** Pin directory of another ABI, neither this one nor one of the next few. */
let other: string;

beforeEach(() => {
	node = new TestNode('mld-gen');
	other = join(node.pinPath, 'v999');
});
afterEach(async () => {
	await node.stop();
	node.remove();
});

/**
 * IDs of programs by hook, as the kernel lists them for the devices of the node and for its cgroup.
 */
function attached(): Record<string, number[]> {
	const net = JSON.parse(node.in(node.node, 'bpftool', '-j', 'net', 'show'))[0] as Record<
		string,
		{ devname: string; kind?: string; prog_id?: number; id?: number }[]
	>;
	const hooks: Record<string, number[]> = {};
	const add = (hook: string, id: number) => (hooks[hook] = [...(hooks[hook] ?? []), id]);
	for (const { devname, kind, prog_id, id } of net['tc'] ?? []) add(`${devname} ${kind}`, prog_id ?? id!);
	for (const { devname, id } of net['xdp'] ?? []) add(`${devname} xdp`, id!);
	const sockets = JSON.parse(run('bpftool', '-j', 'cgroup', 'show', node.cgroup)) as {
		id: number;
		attach_type: string;
	}[];
	for (const { id, attach_type: type } of sockets) add(type, id);
	return hooks;
}

/** Leaves the state of an agent of another ABI, whose pins are in their own directory. */
async function formerAgent(more: Parameters<TestNode['open']>[0] = {}): Promise<Record<string, number[]>> {
	const { agent } = await node.open(more);
	const programs = attached();
	await agent.end();
	renameSync(node.pins, other);
	return programs;
}

/**
 * Attaches a program to a hook that this ABI does not use, and pins it by a name that this ABI does
 * not know.
 */
function strangeLink(): number {
	const fd = loadTiny(native, {
		type: ProgramType.CGROUP_SOCK_ADDR,
		attachType: AttachType.CGROUP_INET4_CONNECT,
		instructions: [set(0, 1), exit()],
	});
	const program = { fd, name: 'strange' } as Program;
	using link = attachCgroup(native, program, node.cgroup, AttachType.CGROUP_INET4_CONNECT);
	link.pin(join(other, 'link_of_long_ago'));
	closeSync(fd);
	return link.state().programId;
}

describe('programs of another ABI', () => {
	it.each(['off', 'native', 'generic'] as const)(
		'serve until the maps are filled, then each hook has ours in their place, XDP %s (U1)',
		async (xdp) => {
			node.addPod('pod1');
			const before = await formerAgent({ xdp });
			const strange = strangeLink();
			const { agent, status } = await node.open({ xdp });
			expect(status.degradations).toEqual([expect.stringContaining('Programs of another maglane version')]);
			await sleep(300);
			const { cgroup_inet4_connect: connect, ...rest } = attached();
			const { cgroup_inet4_connect: formerly, ...untouched } = before;
			expect(rest).toEqual(untouched);
			expect(connect?.sort()).toEqual([...formerly!, strange].sort());
			expect(node.links()).toEqual([]);

			await agent.status('filled');
			await vi.waitFor(() => expect(existsSync(other)).toBe(false), { timeout: 20_000 });
			const after = attached();
			expect(Object.keys(after).sort()).toEqual(Object.keys(before).sort());
			for (const [hook, programs] of Object.entries(after)) {
				expect(programs, hook).toHaveLength(1);
				expect(Object.values(before).flat(), hook).not.toContain(programs[0]);
			}
			expect((await agent.status()).degradations).toEqual([]);
			expect(readdirSync(node.pinPath)).toEqual([node.pins.slice(node.pinPath.length + 1)]);
		},
	);

	it('clsact filters are replaced too', async () => {
		const before = await formerAgent({ tc: 'clsact' });
		const { agent } = await node.open({ tc: 'clsact' });
		await agent.status('filled');
		await vi.waitFor(() => expect(existsSync(other)).toBe(false), { timeout: 20_000 });
		const after = attached();
		expect(Object.keys(after).sort()).toEqual(Object.keys(before).sort());
		for (const programs of Object.values(after)) expect(programs).toHaveLength(1);
	});

	it('pins of a device that is gone, or no longer ours, come off', async () => {
		node.addPod('pod1');
		await formerAgent();
		node.ip(node.node, 'link del pod1');
		const { agent } = await node.open({ devices: ['eth0'] });
		await agent.status('filled');
		await vi.waitFor(() => expect(existsSync(other)).toBe(false), { timeout: 20_000 });
		expect(node.links().filter((name) => name.includes('pod_'))).toEqual([]);
	});

	it('an agent that dies while it waits leaves them as they were, for the next one', async () => {
		const before = await formerAgent();
		const first = await node.open();
		await first.agent.end('SIGKILL');
		expect(attached()).toEqual(before);
		const { agent } = await node.open();
		await agent.status('filled');
		await vi.waitFor(() => expect(existsSync(other)).toBe(false), { timeout: 20_000 });
		for (const programs of Object.values(attached())) expect(programs).toHaveLength(1);
	});

	it('keep an agent out while theirs lives', async () => {
		await formerAgent();
		const before = attached();
		const lock = await lockPins(native, other);
		const { error } = await node.start().next();
		expect(error).toBe(`Cannot use ${other}: another agent does; stop it, or choose another --pin-path`);
		expect(attached()).toEqual(before);
		lock.release();
	}, 30_000);

	it('a directory of maps alone goes at once, and waits for nothing', async () => {
		mkdirSync(node.pinPath, { mode: 0o700 });
		mkdirSync(other, { mode: 0o700 });
		const { status } = await node.open();
		expect(status.degradations).toEqual([]);
		expect(status.attachments.length).toBeGreaterThan(5);
		await vi.waitFor(() => expect(existsSync(other)).toBe(false), { timeout: 20_000 });
	});

	it('sysctls are given back by the last generation', async () => {
		await formerAgent();
		const { agent } = await node.open();
		await agent.status('filled');
		await vi.waitFor(() => expect(existsSync(other)).toBe(false), { timeout: 20_000 });
		await agent.end();
		using link = openPinnedLink(native, join(node.pins, 'link_connect4'));
		expect(link?.state().kind).toBe('cgroup');
		node.in(node.node, 'bin/maglane', 'cleanup', '--pin-path', node.pinPath);
		const value = (name: string) => node.in(node.node, 'sysctl', '-n', name).trim();
		expect(value('net.ipv4.ip_local_reserved_ports')).toBe('');
		expect(value('net.ipv4.conf.lo.accept_local')).toBe('0');
	});
});
