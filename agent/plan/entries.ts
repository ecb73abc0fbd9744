import { type Frontend, FrontendFlag, type FrontendKey, FrontendScope } from '../abi/layout.ts';
import type * as model from '../model/translate.ts';
import { PROTOCOLS } from './kernel.ts';

export interface BackendEntry {
	readonly id: number;
	readonly backend: model.Backend;
	/** Services that use it, and those of them that say it is on this node. */
	users: number;
	localUsers: number;
}

export interface TableEntry {
	/** Size and sorted backends: one table for all that have the same. */
	readonly name: string;
	readonly ref: number;
	readonly size: number;
	/** Sorted by key. */
	readonly backends: readonly string[];
	users: number;
}

export interface FrontendEntry {
	readonly key: FrontendKey;
	readonly value: Frontend;
	/** Key of the Service. */
	readonly owner: string;
}

/** What a Service has taken; it is given back in one piece. */
export interface Held {
	readonly frontends: Map<string, FrontendEntry>;
	readonly tables: TableEntry[];
	readonly backends: { readonly entry: BackendEntry; readonly local: boolean }[];
	readonly ports: Set<string>;
}

/** There is no id or table memory left. The Service stays as it was. */
export class CapacityError extends Error {
	override readonly name = 'CapacityError';
}

/** Names of what may differ from the kernel. */
export interface Touched {
	readonly frontends: Set<string>;
	/** Ids. */
	readonly backends: Set<number>;
	/** References. */
	readonly tables: Set<number>;
}

const KIND_FLAGS = {
	clusterip: FrontendFlag.CLUSTERIP,
	nodeport: FrontendFlag.NODEPORT,
	loadbalancer: FrontendFlag.LOADBALANCER,
	externalip: FrontendFlag.EXTERNALIP,
} as const;

export function flagsOf(frontend: model.Frontend): number {
	const loopback = frontend.loopback ? FrontendFlag.LOOPBACK : 0;
	return KIND_FLAGS[frontend.kind] | loopback | (frontend.drop ? FrontendFlag.DROP : 0);
}

export function frontendKey(frontend: model.Frontend): FrontendKey {
	return {
		addr: frontend.ip.bytes,
		port: frontend.port,
		proto: PROTOCOLS[frontend.protocol],
		scope: frontend.scope === 'external' ? FrontendScope.EXTERNAL : FrontendScope.INTERNAL,
	};
}

/** @param backends sorted */
export function tableName(size: number, backends: readonly string[]): string {
	return `${size} ${backends.join(' ')}`;
}

export function adoptedName(id: number): string {
	return `in the kernel: ${id}`;
}
