/**
 * Manifests of the scenarios. A real cluster pulls the images, the standalone cluster runs programs
 * instead.
 */

export const SERVER_IMAGE =
	process.env['MAGLANE_E2E_SERVER_IMAGE'] ?? 'registry.k8s.io/e2e-test-images/agnhost:2.53';
export const PROBE_IMAGE = process.env['MAGLANE_E2E_PROBE_IMAGE'] ?? 'node:24-alpine';

export interface Manifest {
	apiVersion: string;
	kind: string;
	metadata: { name: string; labels?: Record<string, string> };
	spec: Record<string, unknown>;
}

export interface PodOptions {
	labels?: Record<string, string>;
	node?: string;
	/** Ports of agnhost netexec. */
	http?: number;
	udp?: number;
	/** Names of the server's container ports. */
	names?: Record<string, number>;
	/** Adds a container that sends requests. */
	probe?: boolean;
	/** Uses the host network. */
	hostNetwork?: boolean;
	/** The pod is ready only while its GATE is open. */
	gated?: boolean;
	/** The readiness probe never passes. */
	unready?: boolean;
	/** Seconds for which the server continues after it receives SIGTERM. */
	serveOn?: number;
	/** false omits the server, so that the pod only sends requests. */
	server?: boolean;
}

/** The type of the condition that `gated` pods wait for. */
export const GATE = 'maglane.io/e2e';

const NEVER = { readinessProbe: { exec: { command: ['/bin/false'] }, periodSeconds: 1 } };

function serverOf({ http = 8080, udp = 8081, names = {}, unready = false, serveOn }: PodOptions) {
	const named = Object.entries(names).map(([name, containerPort]) => ({ name, containerPort }));
	const ports = [...named, { containerPort: http }, { containerPort: udp, protocol: 'UDP' }];
	const args = ['netexec', `--http-port=${http}`, `--udp-port=${udp}`];
	if (serveOn !== undefined) args.push(`--delay-shutdown=${serveOn}`);
	return { name: 'server', image: SERVER_IMAGE, args, ports, ...(unready ? NEVER : {}) };
}

function podSpec(options: PodOptions) {
	const { node, hostNetwork = false, gated = false, serveOn = 1, probe = false, server = true } = options;
	return {
		terminationGracePeriodSeconds: serveOn,
		...(node ? { nodeSelector: { 'kubernetes.io/hostname': node } } : {}),
		...(hostNetwork ? { hostNetwork } : {}),
		...(gated ? { readinessGates: [{ conditionType: GATE }] } : {}),
		containers: [
			...(server ? [serverOf(options)] : []),
			...(probe ? [{ name: 'probe', image: PROBE_IMAGE, command: ['sleep', '86400'] }] : []),
		],
	};
}

export function pod(name: string, options: PodOptions = {}): Manifest {
	const labels = options.labels ?? { app: name };
	return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec: podSpec(options) };
}

/** A terminating pod continues to run until the test ends. */
export const LINGERING = { serveOn: 600 };

/** A pod that only sends requests. */
export function client(name: string, node?: string): Manifest {
	return pod(name, { probe: true, server: false, ...(node ? { node } : {}) });
}

export function deployment(name: string, replicas: number, options: PodOptions = {}): Manifest {
	const labels = { app: name, ...options.labels };
	const template = { metadata: { labels }, spec: podSpec(options) };
	const spec = { replicas, selector: { matchLabels: { app: name } }, template };
	return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec };
}

export function service(name: string, spec: Record<string, unknown> = {}): Manifest {
	const ports = [
		{ name: 'http', port: 80, targetPort: 8080 },
		{ name: 'udp', port: 90, targetPort: 8081, protocol: 'UDP' },
	];
	return {
		apiVersion: 'v1',
		kind: 'Service',
		metadata: { name },
		spec: { selector: { app: name }, ports, ...spec },
	};
}

export const DUAL_STACK = { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'] };
