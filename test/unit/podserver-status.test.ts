import { expect, test } from 'vitest';
import { type ContainerFacts, podStatus } from '../../standalone/node/status.ts';
import type { Pod, PodStatus } from '../../standalone/port.ts';

const now = '2026-01-01T00:00:10Z';
const pod = (spec: Partial<Pod['spec']> = {}, status?: PodStatus): Pod => ({
	metadata: { name: 'p', uid: 'u' },
	spec: { containers: [{ name: 'a', image: 'i' }], ...spec },
	...(status && { status }),
});
const running: ContainerFacts = {
	state: { kind: 'running', startedAt: '2026-01-01T00:00:00Z' },
	restarts: 0,
	started: true,
	ready: true,
};
const ended = (exitCode: number): ContainerFacts => ({
	...running,
	state: { kind: 'terminated', exitCode, reason: 'x', startedAt: now, finishedAt: now },
});
const facts = (a: ContainerFacts | undefined) => ({
	podIPs: a ? ['10.244.1.2', 'fd00:244:1::2'] : [],
	hostIPs: ['192.168.10.11', 'fd00:10::11'],
	startTime: '2026-01-01T00:00:00Z',
	containers: new Map(a ? [['a', a]] : []),
	now,
});
const conditionOf = (status: PodStatus, type: string) =>
	status.conditions!.find((condition) => condition.type === type)!;

test('podStatus() is Running and Ready with addresses of both families, the primary first', () => {
	const status = podStatus(pod(), facts(running));
	expect(status).toMatchObject({
		phase: 'Running',
		podIP: '10.244.1.2',
		podIPs: [{ ip: '10.244.1.2' }, { ip: 'fd00:244:1::2' }],
		hostIP: '192.168.10.11',
		hostIPs: [{ ip: '192.168.10.11' }, { ip: 'fd00:10::11' }],
	});
	expect(status.containerStatuses).toMatchObject([
		{ name: 'a', ready: true, started: true, restartCount: 0, state: { running: {} } },
	]);
	expect(conditionOf(status, 'Ready').status).toBe('True');
	expect(conditionOf(status, 'ContainersReady').status).toBe('True');
});

test('podStatus() is Pending without addresses while the network is made', () => {
	const status = podStatus(pod(), facts(undefined));
	expect(status.phase).toBe('Pending');
	expect(status).not.toHaveProperty('podIP');
	expect(status.containerStatuses![0]!.state).toEqual({ waiting: { reason: 'ContainerCreating' } });
	expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'False', reason: 'ContainersNotReady' });
});

test.each([
	['Always', 1, 'Running'],
	['OnFailure', 1, 'Running'],
	['OnFailure', 0, 'Succeeded'],
	['Never', 0, 'Succeeded'],
	['Never', 3, 'Failed'],
])('podStatus() with restartPolicy %s after status %i is %s', (restartPolicy, code, phase) => {
	expect(podStatus(pod({ restartPolicy }), facts(ended(code))).phase).toBe(phase);
});

test('podStatus() keeps the time of a condition that did not change, and conditions of others', () => {
	const first = podStatus(pod({}, { conditions: [{ type: 'Mine', status: 'True' }] }), facts(running));
	const second = podStatus(pod({}, first), {
		...facts({ ...running, ready: false }),
		now: '2026-01-01T00:01:00Z',
	});
	expect(conditionOf(second, 'PodScheduled').lastTransitionTime).toBe(now);
	expect(conditionOf(second, 'Ready')).toMatchObject({
		status: 'False',
		lastTransitionTime: '2026-01-01T00:01:00Z',
	});
	expect(conditionOf(second, 'Mine')).toEqual({ type: 'Mine', status: 'True' });
});

test('podStatus() waits for readiness gates', () => {
	const gated = { readinessGates: [{ conditionType: 'Mine' }] };
	expect(conditionOf(podStatus(pod(gated), facts(running)), 'Ready')).toMatchObject({
		status: 'False',
		reason: 'ReadinessGatesNotReady',
	});
	const open = { conditions: [{ type: 'Mine', status: 'True' }] };
	expect(conditionOf(podStatus(pod(gated, open), facts(running)), 'Ready').status).toBe('True');
});
