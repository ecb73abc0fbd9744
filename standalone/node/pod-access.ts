/** Serves the API server's requests to pods (../api/pod-access.ts) from their containers. */
import { statSync } from 'node:fs';
import { PassThrough, type Writable } from 'node:stream';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { ApiError } from '../api/errors.ts';
import type { PodAccess, ProcessRequest } from '../api/pod-access.ts';
import type { Pod } from '../port.ts';
import { readLog } from './log-read.ts';
import { containerLog } from './pod-place.ts';
import type { PodRunner } from './pod-runner.ts';
import { startProgram } from './program.ts';
import { resolveProgram } from './spawn.ts';
import type { ContainerState } from './status.ts';

export interface PodAccessOptions {
	/** The runner of a pod, by the pod's uid. */
	runner(uid: string): PodRunner | undefined;
	readonly logDirectory: string;
	/** Undefined without a network: pods exist only as objects. */
	readonly switcher: NetnsSwitcher | undefined;
}

const badRequest = (message: string): ApiError => new ApiError(400, 'BadRequest', message);

export function createPodAccess({ runner, logDirectory, switcher }: PodAccessOptions): PodAccess {
	const find = (pod: Pod) => runner(pod.metadata.uid ?? '');

	/** @throws ApiError if the container is not running. */
	function running(pod: Pod, asked: string | undefined) {
		const name = containerName(pod, asked);
		const found = find(pod);
		const member = found?.containers?.get(name);
		if (found?.place && member?.launch && member.container.running)
			return { place: found.place, launch: member.launch, program: member.program, spec: member.plan.spec };
		if (!switcher) throw badRequest('pods are only described: the cluster runs without a network');
		throw new ApiError(
			500,
			'InternalError',
			`Internal error occurred: unable to upgrade connection: container not found ("${name}")`,
		);
	}

	return {
		log(pod, request, signal) {
			const name = containerName(pod, request.container);
			const container = find(pod)?.containers?.get(name)?.container;
			const restarts = container?.restarts ?? 0;
			const file = (run: number) => containerLog(logDirectory, pod, name, run);
			if (!request.previous) {
				if (switcher) checkBegun(pod, name, container?.state);
				return readLog(file(restarts), request, () => container?.running ?? false, signal);
			}
			const run = container?.running ? restarts - 1 : restarts;
			if (!container?.lastState || !exists(file(run)))
				throw badRequest(`previous terminated container "${name}" in pod "${pod.metadata.name}" not found`);
			return readLog(file(run), request, () => false, signal);
		},
		exec(pod, command, { container, stdin, tty }) {
			const { place, launch } = running(pod, container);
			const [program = ''] = command;
			if (resolveProgram(program) === undefined)
				throw new ApiError(
					500,
					'InternalError',
					`Internal error occurred: error executing command in container: exec: "${program}": executable file not found in $PATH`,
				);
			return () => startProgram(place, { ...launch, argv: command }, { stdin, tty });
		},
		attach(pod, { container, stdin }: ProcessRequest) {
			const { program, spec } = running(pod, container);
			if (!program)
				throw badRequest(
					`cannot attach: the built-in server runs this container without a process; use logs or exec`,
				);
			const input = stdin && program.stdin ? inputOf(program.stdin, spec.stdinOnce === true) : undefined;
			return () => ({ ...program, stdin: input, hangUp: () => {} });
		},
		connect(pod, port) {
			const found = find(pod);
			if (!switcher || !found?.place) throw badRequest(`pod ${pod.metadata.name} has no network`);
			const loopback = found.podIPs[0]?.includes(':') ? '::1' : '127.0.0.1';
			return switcher.connectTcp(found.netns, loopback, port);
		},
	};
}

/**
 * The container's stdin for an attached client. It stays open after the client closes it, unless
 * `once` is set.
 */
function inputOf(stdin: Writable, once: boolean): Writable {
	if (once) return stdin;
	const input = new PassThrough();
	input.pipe(stdin, { end: false });
	return input;
}

/** @throws ApiError with the API server's message. */
function containerName(pod: Pod, asked: string | undefined): string {
	const { initContainers = [], containers = [] } = pod.spec ?? {};
	const names = containers.map(({ name }) => name);
	const all = [...initContainers.map(({ name }) => name), ...names];
	if (asked) {
		if (all.includes(asked)) return asked;
		throw badRequest(`container ${asked} is not valid for pod ${pod.metadata.name}`);
	}
	if (names.length === 1) return names[0]!;
	throw badRequest(
		`a container name must be specified for pod ${pod.metadata.name}, choose one of: [${names.join(' ')}]`,
	);
}

/** @throws ApiError if the container has never run. */
function checkBegun(pod: Pod, name: string, state: ContainerState | undefined): void {
	if (state && (state.kind !== 'waiting' || state.reason === 'CrashLoopBackOff')) return;
	throw badRequest(
		`container "${name}" in pod "${pod.metadata.name}" is waiting to start: ${state?.reason ?? 'ContainerCreating'}`,
	);
}

function exists(file: string): boolean {
	return statSync(file, { throwIfNoEntry: false }) !== undefined;
}
