import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAPS } from '../../agent/abi/layout.ts';
import { sinkOfAll } from '../../agent/base/sink.ts';
import { FakeArray, FakeHash, FakeKernel } from '../../agent/bpf/fake.ts';
import { isCgroupOf, LeftOutCgroups } from '../../agent/bpf/left-out-cgroups.ts';
import { SOCKET_LABEL, SocketLabels } from '../../agent/features/socket-labels.ts';

const pod = (uid: string, label?: string, spec = {}) => ({
	metadata: { uid, namespace: 'a', ...(label && { labels: { [SOCKET_LABEL]: label } }) },
	spec,
});
const namespace = (label?: string) => ({ metadata: label ? { labels: { [SOCKET_LABEL]: label } } : {} });

describe('SocketLabels', () => {
	function rig() {
		const notified: string[] = [];
		const labels = new SocketLabels((uids) => void notified.push(uids.join()));
		labels.pods.upsert('a/one', pod('1'));
		labels.pods.upsert('a/two', pod('2', 'off'));
		labels.pods.upsert('a/three', pod('3', 'on'));
		labels.pods.upsert('a/host', pod('4', 'off', { hostNetwork: true }));
		labels.namespaces.upsert('a', namespace());
		return { notified, labels };
	}

	it('tells of labelled pods when pods and namespaces are known, and only when something changes', () => {
		const { notified, labels } = rig();
		labels.pods.listed();
		expect(notified).toEqual([]);
		labels.namespaces.listed();
		labels.pods.upsert('a/two', pod('2', 'off'));
		expect(notified).toEqual(['2']);
		labels.pods.remove('a/two');
		expect(notified).toEqual(['2', '']);
	});

	it('takes the label of the namespace where the pod has none', () => {
		const { notified, labels } = rig();
		labels.pods.listed();
		labels.namespaces.listed();
		labels.namespaces.upsert('a', namespace('off'));
		labels.namespaces.upsert('a', namespace('on'));
		labels.namespaces.remove('a');
		expect(notified).toEqual(['2', '1,2', '2']);
	});

	it('tells that there are none, for an agent before this one may have left some', () => {
		const notified: string[][] = [];
		const labels = new SocketLabels((uids) => void notified.push([...uids]));
		labels.pods.listed();
		labels.namespaces.listed();
		expect(notified).toEqual([[]]);
	});

	it('without the right to list pods, or namespaces, says so and reads the other labels', () => {
		const { notified, labels } = rig();
		labels.pods.listed();
		labels.namespaces.forbidden!('namespaces is forbidden');
		expect(notified).toEqual(['2']);
		expect(labels.degradation).toMatch(
			/of namespaces has no effect: namespaces is forbidden; allow the agent/,
		);
		labels.pods.forbidden!('pods is forbidden');
		expect(labels.degradation).toMatch(/list and watch namespaces and pods, or set --socket-lb=all/);
		labels.namespaces.listed();
		labels.pods.listed();
		expect(labels.degradation).toBeUndefined();
	});

	it('shares a missing right with others', () => {
		const heard: string[] = [];
		const labels = new SocketLabels(() => {});
		const other = { upsert() {}, remove() {}, listed() {}, forbidden: (why: string) => void heard.push(why) };
		sinkOfAll([other, labels.pods])!.forbidden!('pods is forbidden');
		expect(heard).toEqual(['pods is forbidden']);
		expect(labels.degradation).toBeDefined();
	});

	it('shares its watches with others', () => {
		const seen: string[] = [];
		const sink = (name: string) => ({
			upsert: (key: string) => void seen.push(`${name} ${key}`),
			remove: (key: string) => void seen.push(`${name} -${key}`),
			listed: () => void seen.push(`${name} listed`),
		});
		expect(sinkOfAll([undefined, undefined])).toBeUndefined();
		const both = sinkOfAll([sink('a'), undefined, sink('b')])!;
		both.upsert('x', {});
		both.remove('x');
		both.listed();
		expect(seen).toEqual(['a x', 'b x', 'a -x', 'b -x', 'a listed', 'b listed']);
	});
});

describe('LeftOutCgroups', () => {
	const UID = '5f0c3a52-0d2f-4a8e-9a51-6a5f1b2c3d4e';
	const SLICE = `kubepods-burstable-pod${UID.replaceAll('-', '_')}.slice`;
	let root: string;
	let kernel: FakeKernel;
	let cgroups: FakeHash;
	let count: FakeArray;
	let out: LeftOutCgroups;
	beforeEach(() => {
		root = mkdtempSync(join(tmpdir(), 'mlk-cgroups-'));
		kernel = new FakeKernel();
		cgroups = new FakeHash(kernel, MAPS.left_out_cgroups);
		count = new FakeArray(kernel, MAPS.left_out_count);
		out = new LeftOutCgroups(cgroups, count, root);
	});
	afterEach(() => rmSync(root, { recursive: true }));
	const counted = () => new DataView(count.lookup(new Uint8Array(4))!.buffer).getUint32(0, true);
	const ids = () =>
		[...cgroups.entries()].map(([key]) => new DataView(key.buffer, key.byteOffset).getBigUint64(0, true));
	const make = (...path: string[]): bigint => {
		const directory = join(root, ...path);
		mkdirSync(directory, { recursive: true });
		return statSync(directory, { bigint: true }).ino;
	};

	it.each([
		['cgroupfs', `pod${UID}`, true],
		['systemd', SLICE, true],
		['systemd, guaranteed', `kubepods-pod${UID.replaceAll('-', '_')}.slice`, true],
		['a container', `cri-containerd-${UID}.scope`, false],
		['another pod', `pod${UID}0`, false],
	])('knows the name that a kubelet gives by %s', (_, name, is) => {
		expect(isCgroupOf(UID, name)).toBe(is);
	});

	it('finds cgroups of both layouts, at any depth, and those that come later', () => {
		const early = make('kubepods.slice', 'kubepods-burstable.slice', SLICE);
		make('kubepods.slice', 'kubepods-burstable.slice', 'kubepods-burstable-podother.slice');
		out.set([UID, 'late']);
		expect([ids(), counted(), out.missing]).toEqual([[early], 1, 1]);
		const late = make('kubepods', 'burstable', 'podlate');
		out.look();
		expect([ids().sort(), counted(), out.missing]).toEqual([[early, late].sort(), 2, 0]);
	});

	it('takes both cgroups of a pod that has two', () => {
		const two = [make('pods', 'podx'), make('exec', 'podx')];
		out.set(['x']);
		expect(ids().sort()).toEqual(two.sort());
	});

	it('forgets what is not to be left out any more, also of an agent before this one', () => {
		cgroups.update(new Uint8Array(BigUint64Array.of(77n).buffer), new Uint8Array(4));
		make('podx');
		out.set(['x']);
		expect(ids()).not.toContain(77n);
		out.set([]);
		expect([ids(), counted(), out.missing]).toEqual([[], 0, 0]);
	});
});
