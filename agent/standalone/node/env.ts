/** Environment of a container that runs a program of the host. Pure. */
import type { KubeObject } from '../port.ts';

export interface EnvFacts {
	readonly podIPs: readonly string[];
	readonly hostIP: string;
	/** Value of a ConfigMap's or Secret's key, or undefined. */
	keyOf?(kind: 'configmaps' | 'secrets', name: string, key: string): string | undefined;
}

export interface EnvVar {
	readonly name: string;
	readonly value?: string;
	readonly valueFrom?: {
		readonly fieldRef?: { readonly fieldPath: string };
		readonly configMapKeyRef?: { readonly name: string; readonly key: string };
		readonly secretKeyRef?: { readonly name: string; readonly key: string };
	};
}

const STANDARD_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** In the pod's order: a value may use $(NAME) of those before it. */
export function containerEnv(
	pod: KubeObject,
	container: { readonly env?: readonly EnvVar[] },
	facts: EnvFacts,
): Record<string, string> {
	const env: Record<string, string> = { PATH: STANDARD_PATH, HOSTNAME: hostnameOf(pod), HOME: '/' };
	for (const variable of container.env ?? []) {
		const value = variable.valueFrom ? fromSource(pod, variable.valueFrom, facts) : (variable.value ?? '');
		if (value !== undefined) env[variable.name] = variable.valueFrom ? value : expand(value, env);
	}
	return env;
}

/** $(NAME) becomes its value; $$(NAME) stays $(NAME); an unknown name stays as it is. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
	return text.replace(/\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))/g, (all, escaped: string, name?: string) =>
		name === undefined ? escaped : (env[name] ?? all),
	);
}

export function hostnameOf(pod: KubeObject): string {
	return pod.spec?.hostname ?? pod.metadata.name.slice(0, 63);
}

function fromSource(pod: KubeObject, source: EnvVar['valueFrom'] & {}, facts: EnvFacts): string | undefined {
	if (source.fieldRef) return field(pod, source.fieldRef.fieldPath, facts);
	const config = source.configMapKeyRef;
	if (config) return facts.keyOf?.('configmaps', config.name, config.key);
	const secret = source.secretKeyRef;
	if (secret) return facts.keyOf?.('secrets', secret.name, secret.key);
	return undefined;
}

function field(pod: KubeObject, path: string, facts: EnvFacts): string | undefined {
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
			return facts.hostIP;
		default:
			return undefined;
	}
}
