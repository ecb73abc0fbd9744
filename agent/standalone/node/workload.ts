/**
 * What a pod's containers mean on a machine without images: programs of the host, or the built-in server. Pure, but
 * for the question whether a program exists, which is passed in.
 */

import type { PortSpec } from '../podserver/messages.ts';
import type { Behaviour } from '../podserver/protocol.ts';
import type { KubeObject } from '../port.ts';
import { containerEnv, type EnvFacts, type EnvVar, expand } from './env.ts';

export interface CommandPlan {
	readonly container: string;
	readonly argv: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	readonly cwd: string;
	readonly probe: ProbeSpec | undefined;
}

/** The parts of a readinessProbe that are honoured. Times in seconds. */
export interface ProbeSpec {
	readonly exec?: { readonly command?: readonly string[] };
	readonly httpGet?: { readonly path?: string; readonly port: number | string; readonly host?: string };
	readonly tcpSocket?: { readonly port: number | string };
	readonly initialDelaySeconds?: number;
	readonly periodSeconds?: number;
	readonly failureThreshold?: number;
	readonly successThreshold?: number;
}

export interface Workload {
	readonly behaviour: Behaviour;
	/** Ports that the built-in server opens: declared ones and those of agnhost's arguments. */
	readonly ports: readonly PortSpec[];
	/** Whether targetPorts of Services that select the pod are opened too, though no container declares them. */
	readonly opensServicePorts: boolean;
	/** How long the server goes on after it was told to end, seconds. */
	readonly lingerSeconds: number;
	readonly commands: readonly CommandPlan[];
	/** A probe of a container that the built-in server stands for: only `exec` of agnhost containers. */
	readonly serverProbe: ProbeSpec | undefined;
	/** What differs from what the pod asked for, for its status message. */
	readonly notes: readonly string[];
}

/** Connections of a pod that ends finish while the other nodes learn of it. */
const LINGER_SECONDS = 2;

export interface HostFacts extends EnvFacts {
	/** Absolute path of an executable of this machine, or undefined. */
	resolve(program: string): string | undefined;
}

export function planWorkload(pod: KubeObject, host: HostFacts): Workload {
	const notes: string[] = [];
	const parts: Part[] = (pod.spec?.containers ?? []).map((container: Container) =>
		planContainer(pod, container, host),
	);
	if (pod.spec?.initContainers?.length) notes.push('Init containers are not run');
	for (const part of parts) if (part.note !== undefined) notes.push(part.note);
	const commands = parts.flatMap((part) => part.command ?? []);
	const servers = parts.flatMap((part) => part.server ?? []);
	return {
		behaviour: servers.some((server) => server.behaviour === 'serve-hostname') ? 'serve-hostname' : 'netexec',
		ports: unique(servers.flatMap((server) => server.ports)),
		opensServicePorts: commands.length === 0 && servers.some((server) => !server.agnhost),
		lingerSeconds: Math.max(LINGER_SECONDS, ...servers.map((server) => server.linger)),
		commands,
		serverProbe: servers.find((server) => server.probe)?.probe,
		notes,
	};
}

interface Container {
	readonly name: string;
	readonly image?: string;
	readonly command?: readonly string[];
	readonly args?: readonly string[];
	readonly workingDir?: string;
	readonly env?: readonly EnvVar[];
	readonly ports?: readonly { containerPort: number; protocol?: string }[];
	readonly readinessProbe?: ProbeSpec;
}

interface Server {
	readonly behaviour: Behaviour;
	readonly ports: readonly PortSpec[];
	readonly agnhost: boolean;
	readonly linger: number;
	readonly probe: ProbeSpec | undefined;
}

interface Part {
	readonly command?: CommandPlan;
	readonly server?: Server;
	readonly note?: string;
}

function planContainer(pod: KubeObject, container: Container, host: HostFacts): Part {
	const env = containerEnv(pod, container, host);
	const words = [...(container.command ?? []), ...(container.args ?? [])].map((word) => expand(word, env));
	const program = container.command?.length ? words[0] : undefined;
	if (program === undefined || isAgnhost(container, program)) return { server: planServer(container, words) };
	const resolved = host.resolve(program);
	if (resolved === undefined) {
		const note = `Container ${container.name}: ${program} is not on this machine, the built-in server answers instead`;
		return { server: planServer(container, []), note };
	}
	return {
		command: {
			container: container.name,
			argv: [resolved, ...words.slice(1)],
			env,
			cwd: container.workingDir ?? '/',
			probe: container.readinessProbe,
		},
	};
}

function isAgnhost(container: Container, program?: string): boolean {
	return /(^|\/)agnhost$/.test(program ?? '') || /(^|\/)agnhost([:@]|$)/.test(container.image ?? '');
}

function planServer(container: Container, words: readonly string[]): Server {
	const declared = (container.ports ?? []).flatMap(({ containerPort, protocol = 'TCP' }): PortSpec[] =>
		protocol === 'TCP' || protocol === 'UDP' ? [{ protocol, port: containerPort }] : [],
	);
	const plain = {
		behaviour: 'netexec',
		ports: declared,
		agnhost: false,
		linger: 0,
		probe: undefined,
	} as const;
	if (!isAgnhost(container, words[0])) return plain;
	const [subcommand = 'pause', ...flags] = words[0]?.endsWith('agnhost') ? words.slice(1) : words;
	const agnhost = {
		...plain,
		agnhost: true,
		probe: container.readinessProbe?.exec && container.readinessProbe,
	};
	if (subcommand === 'netexec') {
		const ports = [
			...declared,
			...portFlag('TCP', flags, 'http-port', 8080),
			...portFlag('UDP', flags, 'udp-port', 8081),
		];
		return { ...agnhost, ports, linger: Number(flag(flags, 'delay-shutdown') ?? 0) };
	}
	if (subcommand === 'serve-hostname') {
		const tcp = flag(flags, 'tcp') === 'true' || flag(flags, 'http') !== 'false';
		const udp = flag(flags, 'udp') === 'true';
		const port = Number(flag(flags, 'port') ?? 9376);
		const ports = [...declared];
		if (tcp) ports.push({ protocol: 'TCP', port });
		if (udp) ports.push({ protocol: 'UDP', port });
		return { ...agnhost, behaviour: 'serve-hostname', ports };
	}
	return agnhost;
}

/** A value of -1 turns a server of netexec off. */
function portFlag(
	protocol: PortSpec['protocol'],
	flags: readonly string[],
	name: string,
	standard: number,
): PortSpec[] {
	const port = Number(flag(flags, name) ?? standard);
	return port > 0 ? [{ protocol, port }] : [];
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
export function servicePorts(pod: KubeObject, services: Iterable<KubeObject>): PortSpec[] {
	const labels = pod.metadata.labels ?? {};
	const ports: PortSpec[] = [];
	for (const service of services) {
		if (service.metadata.namespace !== pod.metadata.namespace) continue;
		const selector = Object.entries((service.spec?.selector ?? {}) as Record<string, string>);
		if (selector.length === 0 || selector.some(([key, value]) => labels[key] !== value)) continue;
		for (const { protocol = 'TCP', port, targetPort = port } of service.spec?.ports ?? []) {
			if (typeof targetPort !== 'number') continue;
			if (protocol === 'TCP' || protocol === 'UDP') ports.push({ protocol, port: targetPort });
		}
	}
	return ports;
}

/** Sorted and without doubles. */
export function unique(ports: readonly PortSpec[]): PortSpec[] {
	const byKey = new Map(
		ports.map((port) => [`${port.protocol}/${String(port.port).padStart(5, '0')}`, port]),
	);
	return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, port]) => port);
}
