/**
 * What a pod's containers mean on a machine without images: programs of the host, or the built-in server. Pure, but
 * for the question whether a program exists, which is passed in.
 */

import type { PortSpec } from '../podserver/messages.ts';
import type { Behaviour } from '../podserver/protocol.ts';
import type { KubeObject } from '../port.ts';
import { containerEnv, type EnvContainer, type EnvFacts, expand } from './env.ts';
import type { Probe, Probes } from './probe.ts';
import type { Action } from './probe-action.ts';
import type { Launch } from './program.ts';

/** What is read of a container. */
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
	/** A sidecar is an init container that goes on. */
	readonly role: 'init' | 'sidecar' | 'main';
	readonly spec: ContainerSpec;
	/** Absolute path of the program of this machine; undefined: the built-in server stands for the container. */
	readonly program: string | undefined;
	/** Arguments of the program as the pod gives them. */
	readonly words: readonly string[];
	/** Those that can be carried out here; what cannot counts as passing. */
	readonly probes: Probes;
}

export interface Workload {
	readonly behaviour: Behaviour;
	/** Ports that the built-in server opens: declared ones, probed ones and those of agnhost's arguments. */
	readonly ports: readonly PortSpec[];
	/** The container whose ports targetPorts of Services that select the pod become, though none declares them. */
	readonly servicePortsOf: string | undefined;
	/** How long the server goes on after it was told to end, seconds. */
	readonly lingerSeconds: number;
	/** In the order of the pod: init containers and sidecars, then the others. */
	readonly containers: readonly ContainerPlan[];
	/** What differs from what the pod asked for, for its status message. */
	readonly notes: readonly string[];
}

/** Connections of a pod that ends finish while the other nodes learn of it. */
const LINGER_SECONDS = 2;

/** Absolute path of an executable of this machine, or undefined. */
export type Resolve = (program: string) => string | undefined;

export function planWorkload(pod: KubeObject, resolve: Resolve): Workload {
	const { initContainers = [], containers = [] } = pod.spec ?? {};
	const parts: Part[] = [
		...initContainers.map((spec: ContainerSpec) =>
			planContainer(spec, spec.restartPolicy === 'Always' ? 'sidecar' : 'init', resolve),
		),
		...containers.map((spec: ContainerSpec) => planContainer(spec, 'main', resolve)),
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

/** What starts in the container's place now. @throws Error as containerEnv() does. */
export function launchOf(pod: KubeObject, { spec, program, words }: ContainerPlan, facts: EnvFacts): Launch {
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
	// A program that is there says nothing of an image that is not
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

/** A program of the machine sees the machine's files. */
function missingVolumes({ name, volumeMounts = [] }: ContainerSpec): string[] {
	return volumeMounts.map(
		(mount) => `Container ${name}: volume ${mount.name} is not mounted at ${mount.mountPath}`,
	);
}

/**
 * The command line. Without a command it is the image's, which is not here: arguments that begin with a program of this
 * machine are taken for the command, and for a terminal without any a shell.
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

/** A value of -1 turns a server of netexec off. */
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

/** `--name=value`, `--name value`, or `--name` (true). One hyphen is as good as two. */
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

/** Ports of Services that select the pod: number targetPorts, and the Service's port where it names none. */
export function servicePorts(pod: KubeObject, services: Iterable<KubeObject>, container: string): PortSpec[] {
	const labels = pod.metadata.labels ?? {};
	const ports: PortSpec[] = [];
	for (const service of services) {
		if (service.metadata.namespace !== pod.metadata.namespace) continue;
		const selector = Object.entries((service.spec?.selector ?? {}) as Record<string, string>);
		if (selector.length === 0 || selector.some(([key, value]) => labels[key] !== value)) continue;
		for (const { protocol = 'TCP', port, targetPort = port } of service.spec?.ports ?? []) {
			if (typeof targetPort !== 'number') continue;
			if (protocol === 'TCP' || protocol === 'UDP') ports.push({ protocol, port: targetPort, container });
		}
	}
	return ports;
}

/** Sorted and without doubles: of containers that declare the same port the first has it. */
export function unique(ports: readonly PortSpec[]): PortSpec[] {
	const byKey = new Map(
		ports.toReversed().map((port) => [`${port.protocol}/${String(port.port).padStart(5, '0')}`, port]),
	);
	return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, port]) => port);
}
