/** Builds the environment of a container that runs a host program, like the kubelet. Pure. */
import type { Pod } from '../port.ts';

export interface EnvFacts {
	readonly podIPs: readonly string[];
	readonly hostIPs: readonly string[];
	/** Variables of Services. The container's own variables override them. */
	readonly services?: ReadonlyMap<string, string>;
	/** All keys of a ConfigMap or Secret in the pod's namespace; undefined if it does not exist. */
	dataOf?(kind: SourceKind, name: string): Readonly<Record<string, string>> | undefined;
}

export type SourceKind = 'configmap' | 'secret';

interface KeyRef {
	readonly name?: string;
	readonly key: string;
	readonly optional?: boolean;
}

export interface EnvVar {
	readonly name: string;
	readonly value?: string;
	readonly valueFrom?: {
		readonly fieldRef?: { readonly fieldPath: string };
		readonly configMapKeyRef?: KeyRef;
		readonly secretKeyRef?: KeyRef;
	};
}

interface AllKeysRef {
	readonly name?: string;
	readonly optional?: boolean;
}

export interface EnvFrom {
	readonly prefix?: string;
	readonly configMapRef?: AllKeysRef;
	readonly secretRef?: AllKeysRef;
}

export interface EnvContainer {
	readonly env?: readonly EnvVar[];
	readonly envFrom?: readonly EnvFrom[];
}

export const STANDARD_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Merges variables, in increasing precedence: the image's (here: a machine's usual ones), those of
 * Services, `envFrom`, `env`. A value may use $(NAME) of earlier variables and of Services.
 *
 * @throws Error with the kubelet's message if a required ConfigMap, Secret or key is missing
 */
export function containerEnv(pod: Pod, container: EnvContainer, facts: EnvFacts): Record<string, string> {
	const services = Object.fromEntries(facts.services ?? []);
	const own: Record<string, string> = {};
	for (const source of container.envFrom ?? []) Object.assign(own, allKeys(source, facts));
	for (const { name, value, valueFrom } of container.env ?? []) {
		const found =
			valueFrom && !value ? fromSource(pod, valueFrom, facts) : expand(value ?? '', { ...services, ...own });
		if (found !== undefined) own[name] = found;
	}
	return { PATH: STANDARD_PATH, HOSTNAME: hostnameOf(pod), HOME: '/', ...services, ...own };
}

/** Replaces $(NAME) with its value. $$(NAME) becomes $(NAME); an unknown name stays unchanged. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
	return text.replace(/\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))/g, (all, escaped: string, name?: string) =>
		name === undefined ? escaped : (env[name] ?? all),
	);
}

export function hostnameOf(pod: Pod): string {
	const { hostNetwork, nodeName, hostname } = pod.spec ?? {};
	// Pods in the host's network share its name
	if (hostNetwork && nodeName) return nodeName;
	return hostname ?? pod.metadata.name.slice(0, 63);
}

/** A valid variable name (kubernetes 1.32: any printable ASCII except `=`). */
const VARIABLE = /^[ -<>-~]+$/;

function allKeys(source: EnvFrom, facts: EnvFacts): Record<string, string> {
	const { prefix = '', configMapRef, secretRef } = source;
	const [kind, ref] = configMapRef
		? (['configmap', configMapRef] as const)
		: (['secret', secretRef] as const);
	const entries = Object.entries(dataOf(kind, ref ?? {}, facts) ?? {});
	return Object.fromEntries(
		entries.map(([key, value]) => [`${prefix}${key}`, value]).filter(([name]) => VARIABLE.test(name!)),
	);
}

function fromSource(pod: Pod, source: EnvVar['valueFrom'] & {}, facts: EnvFacts): string | undefined {
	if (source.fieldRef) return fieldOf(pod, source.fieldRef.fieldPath, facts);
	if (source.configMapKeyRef) return oneKey(pod, 'configmap', source.configMapKeyRef, facts);
	if (source.secretKeyRef) return oneKey(pod, 'secret', source.secretKeyRef, facts);
	return undefined;
}

function oneKey(pod: Pod, kind: SourceKind, ref: KeyRef, facts: EnvFacts): string | undefined {
	const data = dataOf(kind, ref, facts);
	const value = data?.[ref.key];
	if (value !== undefined || ref.optional) return value;
	const where = `${kind === 'configmap' ? 'ConfigMap' : 'Secret'} ${pod.metadata.namespace}/${ref.name}`;
	throw new Error(`couldn't find key ${ref.key} in ${where}`);
}

function dataOf(kind: SourceKind, ref: AllKeysRef, facts: EnvFacts) {
	const data = facts.dataOf?.(kind, ref.name ?? '');
	if (data || ref.optional) return data;
	throw new Error(`${kind} "${ref.name ?? ''}" not found`);
}

/** The downward API's value of a `fieldPath`; undefined for an unsupported one. */
export function fieldOf(pod: Pod, path: string, facts: EnvFacts): string | undefined {
	const entry = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
	if (entry) return pod.metadata[entry[1] as 'labels' | 'annotations']?.[entry[2]!] ?? '';
	switch (path) {
		case 'metadata.name':
			return pod.metadata.name;
		case 'metadata.namespace':
			return pod.metadata.namespace;
		case 'metadata.uid':
			return pod.metadata.uid;
		case 'spec.nodeName':
			return pod.spec?.nodeName;
		case 'spec.serviceAccountName':
			return pod.spec?.serviceAccountName ?? 'default';
		case 'status.podIP':
			return facts.podIPs[0];
		case 'status.podIPs':
			return facts.podIPs.join(',');
		case 'status.hostIP':
			return facts.hostIPs[0];
		case 'status.hostIPs':
			return facts.hostIPs.join(',');
		default:
			return undefined;
	}
}
