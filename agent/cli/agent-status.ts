import { Option } from 'commander';
import { printable } from '../base/printable.ts';

/** Status of the running agent at /statusz. */
export interface AgentStatus {
	readonly node: string;
	/** All resources were listed and written once. */
	readonly synced: boolean;
	/** Programs and where they are attached. */
	readonly attachments: readonly {
		readonly program: string;
		readonly target: string;
		readonly mode: string;
		/** Programs and filters of other owners that see packets before it; absent if it is first. */
		readonly behind?: readonly string[];
	}[];
	/** Functions that work less well than configured or possible. */
	readonly degradations: readonly string[];
	readonly problems: readonly { readonly object: string; readonly field: string; readonly message: string }[];
	readonly watches: Readonly<Record<string, WatchStatus>>;
	/** Names of Service ports by their id in the maps. */
	readonly services: Readonly<Record<number, string>>;
	/** Why the last sync failed; absent if it succeeded. */
	readonly lastError?: string;
}

export interface WatchStatus {
	readonly listed: boolean;
	/** Why there is no connection. */
	readonly error?: string;
	/** Seconds since the last message of the API server. */
	readonly staleSeconds?: number;
}

export const metricsAddressOption = (): Option =>
	new Option('--metrics-address <host:port>', 'where the agent answers')
		.env('MAGLANE_METRICS_ADDRESS')
		.default('127.0.0.1:10249');

/** Reads the agent's status. @returns undefined without an answer within two seconds */
export async function agentStatus(address: string): Promise<AgentStatus | undefined> {
	try {
		const answer = await fetch(`http://${address}/statusz`, { signal: AbortSignal.timeout(2000) });
		return answer.ok ? (JSON.parse(await answer.text(), harmless) as AgentStatus) : undefined;
	} catch {
		return undefined;
	}
}

/** Replaces control characters: while no agent runs, any user may listen on its port. */
function harmless(_key: string, value: unknown): unknown {
	if (typeof value === 'string') return printable(value);
	if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
	return Object.fromEntries(Object.entries(value).map(([key, item]) => [printable(key), item]));
}
