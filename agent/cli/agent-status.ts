import { Option } from 'commander';

/** What the running agent says of itself at /statusz. */
export interface AgentStatus {
	readonly node: string;
	/** Everything has been listed and written once. */
	readonly synced: boolean;
	/** Programs and where they are attached. */
	readonly attachments: readonly {
		readonly program: string;
		readonly target: string;
		readonly mode: string;
	}[];
	/** What works in a lesser way than configured or possible. */
	readonly degradations: readonly string[];
	readonly problems: readonly { readonly object: string; readonly field: string; readonly message: string }[];
	readonly watches: Readonly<Record<string, WatchStatus>>;
	/** Names of Service ports by their id in the maps. */
	readonly services: Readonly<Record<number, string>>;
}

export interface WatchStatus {
	readonly listed: boolean;
	/** Why there is no connection. */
	readonly error?: string;
	/** Since the API server sent something. */
	readonly staleSeconds?: number;
}

export const metricsAddressOption = (): Option =>
	new Option('--metrics-address <host:port>', 'where the agent answers')
		.env('MAGLANE_METRICS_ADDRESS')
		.default('127.0.0.1:10249');

/** Asks the agent. @returns undefined when none answers in two seconds */
export async function agentStatus(address: string): Promise<AgentStatus | undefined> {
	try {
		const answer = await fetch(`http://${address}/statusz`, { signal: AbortSignal.timeout(2000) });
		return answer.ok ? (JSON.parse(await answer.text(), printable) as AgentStatus) : undefined;
	} catch {
		return undefined;
	}
}

/** While no agent runs, any user may listen there: what is said must not command the terminal. */
function printable(_key: string, value: unknown): unknown {
	const text = (raw: string): string => raw.replace(/\p{Control}/gu, '\uFFFD');
	if (typeof value === 'string') return text(value);
	if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
	return Object.fromEntries(Object.entries(value).map(([key, item]) => [text(key), item]));
}
