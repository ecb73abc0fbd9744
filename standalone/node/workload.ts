/**
 * Plans a pod's containers on a machine without images, as host programs or in the built-in server.
 * Pure, except for `resolve`, which checks whether a program exists.
 */

import type { PortSpec } from '../podserver/messages.ts';
import type { Behaviour } from '../podserver/protocol.ts';
import type { Pod, Service } from '../port.ts';
import { containerEnv, type EnvContainer, type EnvFacts, expand } from './env.ts';
import type { Probe, Probes } from './probe.ts';
import type { Action } from './probe-action.ts';
import type { Launch } from './program.ts';

/** The used fields of a container. */
export interface ContainerSpec extends EnvContainer, Probes {
	readonly name: string;
	readonly image?: string;
	readonly command?: readonly string[];
	readonly args?: readonly string[];
	readonly workingDir?: string;
	readonly stdin?: boolean;
	readonly stdinOnce?: boolean;
	readonly tty?: boolean;
	readonly restartPolicy?: string;
	readonly ports?: readonly { containerPort: number; name?: string; protocol?: string }[];
	readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
	readonly lifecycle?: { readonly postStart?: Action; readonly preStop?: Action };
}

export interface ContainerPlan {
	readonly name: string;
	/** A sidecar is an init container that keeps running. */
	readonly role: 'init' | 'sidecar' | 'main';
	readonly spec: ContainerSpec;
	/** Absolute path of the host program. Undefined for a container in the built-in server. */
	readonly program: string | undefined;
	/** Arguments of the program, unexpanded. */
	readonly words: readonly string[];
	/** The supported probes. Unsupported ones count as successful. */
	readonly probes: Probes;
}

export interface Workload {
	readonly behaviour: Behaviour;
	/** Ports of the built-in server: declared ones, probed ones and those in agnhost's arguments. */
	readonly ports: readonly PortSpec[];
	/** The container that also gets the targetPorts of selecting Services, without declaring them. */
	readonly servicePortsOf: string | undefined;
	/** Time for which the server keeps serving after TERM, in seconds. */
	readonly lingerSeconds: number;
	/** In pod order: init containers and sidecars, then all others. */
	readonly containers: readonly ContainerPlan[];
	/** Deviations from the pod's spec, for its status message. */
	readonly notes: readonly string[];
}

/** Time in which connections of a terminating pod finish and other nodes remove its endpoint. */
const LINGER_SECONDS = 2;

/** @returns the absolute path of an executable on this machine; undefined if there is none. */
export type Resolve = (program: string) => string | undefined;

export function planWorkload(pod: Pod, resolve: Resolve): Workload {
	const { initContainers = [], containers = [] } = pod.spec ?? {};
	const parts: Part[] = [
		...initContainers.map((spec) =>
			planContainer(spec, spec.restartPolicy === 'Always' ? 'sidecar' : 'init', resolve),
		),
		...containers.map((spec) => planContainer(spec, 'main', resolve)),
	];
	const servers = parts.flatMap((part) => part.server ?? []);
	const programs = parts.some(({ plan }) => plan.role === 'main' && plan.program !== undefined);
	return {
		behaviour: servers.some((server) => server.behaviour === 'serve-hostname') ? 'serve-hostname' : 'netexec',
		ports: unique(servers.flatMap((server) => server.ports)),
		servicePortsOf: programs ? undefined : servers.find((server) => !server.agnhost)?.container,
		lingerSeconds: Math.max(LINGER_SECONDS, ...servers.map((server) => server.linger)),
		containers: parts.map((part) => part.plan),
		notes: parts.flatMap((part) => part.notes),
	};
}

/** Builds the launch parameters of a container at its start. @throws Error like containerEnv(). */
export function launchOf(pod: Pod, { spec, program, words }: ContainerPlan, facts: EnvFacts): Launch {
	const env = containerEnv(pod, spec, facts);
	const argv = [program ?? '/bin/sh', ...words.map((word) => expand(word, env))];
	return { argv, env, cwd: spec.workingDir ?? '/' };
}

interface Server {
	readonly container: string;
	readonly behaviour: Behaviour;
	readonly ports: readonly PortSpec[];
	readonly agnhost: boolean;
	readonly linger: number;
}

interface Part {
	readonly plan: ContainerPlan;
	readonly server?: Server;
	readonly notes: readonly string[];
}

function planContainer(spec: ContainerSpec, role: ContainerPlan['role'], resolve: Resolve): Part {
	const { name } = spec;
	const [first, ...words] = wordsOf(spec);
	const program = first === undefined || isAgnhost(spec, first) ? undefined : resolve(first);
	if (program !== undefined) {
		const plan = { name, role, spec, program, words, probes: probesOf(spec, () => true) };
		return { plan, notes: missingVolumes(spec) };
	}
	const agnhost = isAgnhost(spec, first);
	const missing = spec.command?.length && !agnhost ? `${first} is not on this machine` : undefined;
	// Without the image, an exec probe proves nothing, even if this machine has the program
	const known = (action: Action) =>
		action.exec
			? agnhost && resolve(action.exec.command?.[0] ?? '') !== undefined
			: action.httpGet?.scheme !== 'HTTPS' && !action.grpc;
	const probes = probesOf(spec, known);
	const plan = { name, role, spec, program, words, probes };
	if (role === 'init') {
		const why = missing ?? `the image ${spec.image ?? ''} is not here`;
		return { plan, notes: [`Init container ${name} is taken as done: ${why}`] };
	}
	const server = planServer(spec, probes, first === undefined || missing ? [] : [first, ...words]);
	const note = missing && `Container ${name}: ${missing}, the built-in server answers instead`;
	return { plan, server, notes: note ? [note] : [] };
}

/** Notes for volumes that a host program lacks, because it sees the machine's files. */
function missingVolumes({ name, volumeMounts = [] }: ContainerSpec): string[] {
	return volumeMounts.map(
		(mount) => `Container ${name}: volume ${mount.name} is not mounted at ${mount.mountPath}`,
	);
}

/**
 * The command line of a container. Without a command, the arguments may start with a program of
 * this machine, because the image with its command is missing. A terminal without command and
 * arguments gets a shell.
 */
function wordsOf({ command = [], args = [], stdin, tty }: ContainerSpec): readonly string[] {
	return command.length + args.length === 0 && stdin && tty ? ['/bin/sh'] : [...command, ...args];
}

function probesOf(spec: ContainerSpec, known: (action: Action) => boolean): Probes {
	const kinds = ['startupProbe', 'livenessProbe', 'readinessProbe'] as const;
	return Object.fromEntries(
		kinds.flatMap((kind) => {
			const probe: Probe | undefined = spec[kind];
			return probe && known(probe) ? [[kind, probe]] : [];
		}),
	);
}

function isAgnhost(container: ContainerSpec, program?: string): boolean {
	return /(^|\/)agnhost$/.test(program ?? '') || /(^|\/)agnhost([:@]|$)/.test(container.image ?? '');
}

function planServer(spec: ContainerSpec, probes: Probes, words: readonly string[]): Server {
	const { name: container } = spec;
	const declared = (spec.ports ?? []).flatMap(({ containerPort, protocol = 'TCP' }): PortSpec[] =>
		protocol === 'TCP' || protocol === 'UDP' ? [{ protocol, port: containerPort, container }] : [],
	);
	const probed = Object.values(probes).flatMap(({ httpGet, tcpSocket }: Probe): PortSpec[] => {
		const port = (httpGet ?? tcpSocket)?.port;
		return typeof port === 'number' ? [{ protocol: 'TCP', port, container }] : [];
	});
	const plain = {
		container,
		behaviour: 'netexec',
		ports: [...declared, ...probed],
		agnhost: false,
		linger: 0,
	} as const;
	if (!isAgnhost(spec, words[0])) return plain;
	const [subcommand = 'pause', ...flags] = words[0]?.endsWith('agnhost') ? words.slice(1) : words;
	const agnhost = { ...plain, ports: declared, agnhost: true };
	if (subcommand === 'netexec') {
		const ports = [
			...declared,
			...portFlag(container, 'TCP', flags, 'http-port', 8080),
			...portFlag(container, 'UDP', flags, 'udp-port', 8081),
		];
		return { ...agnhost, ports, linger: Number(flag(flags, 'delay-shutdown') ?? 0) };
	}
	if (subcommand === 'serve-hostname') {
		const tcp = flag(flags, 'tcp') === 'true' || flag(flags, 'http') !== 'false';
		const udp = flag(flags, 'udp') === 'true';
		const port = Number(flag(flags, 'port') ?? 9376);
		const ports = [...declared];
		if (tcp) ports.push({ protocol: 'TCP', port, container });
		if (udp) ports.push({ protocol: 'UDP', port, container });
		return { ...agnhost, behaviour: 'serve-hostname', ports };
	}
	return agnhost;
}

/** The port of a netexec flag. The value -1 disables that server. */
function portFlag(
	container: string,
	protocol: PortSpec['protocol'],
	flags: readonly string[],
	name: string,
	standard: number,
): PortSpec[] {
	const port = Number(flag(flags, name) ?? standard);
	return port > 0 ? [{ protocol, port, container }] : [];
}

/** Parses `--name=value`, `--name value`, or `--name` (true). A single hyphen is equivalent. */
function flag(flags: readonly string[], name: string): string | undefined {
	for (const [i, word] of flags.entries()) {
		const match = /^--?([^=]+)(?:=(.*))?$/s.exec(word);
		if (match?.[1] !== name) continue;
		if (match[2] !== undefined) return match[2];
		const next = flags[i + 1];
		return next === undefined || next.startsWith('-') ? 'true' : next;
	}
	return undefined;
}

/**
 * Ports of Services that select the pod: numeric targetPorts, or the Service's port if it has none.
 */
export function servicePorts(pod: Pod, services: Iterable<Service>, container: string): PortSpec[] {
	const labels = pod.metadata.labels ?? {};
	const ports: PortSpec[] = [];
	for (const service of services) {
		if (service.metadata.namespace !== pod.metadata.namespace) continue;
		const selector = Object.entries(service.spec?.selector ?? {});
		if (selector.length === 0 || selector.some(([key, value]) => labels[key] !== value)) continue;
		for (const { protocol = 'TCP', port, targetPort = port } of service.spec?.ports ?? []) {
			if (typeof targetPort !== 'number') continue;
			if (protocol === 'TCP' || protocol === 'UDP') ports.push({ protocol, port: targetPort, container });
		}
	}
	return ports;
}

/** Sorts and removes duplicates. If several containers declare a port, the first one gets it. */
export function unique(ports: readonly PortSpec[]): PortSpec[] {
	const byKey = new Map(
		ports.toReversed().map((port) => [`${port.protocol}/${String(port.port).padStart(5, '0')}`, port]),
	);
	return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, port]) => port);
}
