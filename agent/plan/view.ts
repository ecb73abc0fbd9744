import { endpointText } from '../model/ip.ts';
import type { FrontendKind, Scope } from '../model/translate.ts';
import type { Planner } from './planner.ts';

/** A frontend, formatted for people. */
export interface FrontendView {
	/** `10.96.0.1:80`, `[fd00::1]:80` */
	readonly address: string;
	readonly protocol: 'tcp' | 'udp';
	readonly kind: FrontendKind;
	readonly scope: Scope;
	/** Slots of its Maglev table; 0: no backend. */
	readonly tableSize: number;
	/** Without a backend: packets are dropped instead of refused. */
	readonly drop: boolean;
	/** 0: none. */
	readonly affinitySeconds: number;
	readonly backends: readonly { readonly id: number; readonly address: string; readonly local: boolean }[];
}

export interface ServiceView {
	/** namespace/name */
	readonly service: string;
	/** Ids of its ports, as in the counters: `80/tcp` -> 3. */
	readonly ports: ReadonlyMap<string, number>;
	/** Reason why it is not served at all; undefined: it is served. */
	readonly refused: string | undefined;
	/** Frontends in the maps, without addresses that another Service owns. */
	readonly frontends: readonly FrontendView[];
}

/** Services for which policy Local allows no endpoint here, though others have some, by policy. */
export interface NoLocalEndpoints {
	readonly internal: number;
	readonly external: number;
}

export function noLocalEndpoints(planner: Planner): NoLocalEndpoints {
	const count = (clusterIp: boolean) =>
		[...planner.translations.values()].filter(({ frontends }) =>
			frontends.some(({ drop, kind }) => drop && (kind === 'clusterip') === clusterIp),
		).length;
	return { internal: count(true), external: count(false) };
}

/** All translated Services, sorted by key. */
export function serviceViews(planner: Planner): ServiceView[] {
	return [...planner.translations.keys()].sort().map((key) => serviceView(planner, key));
}

function serviceView(planner: Planner, key: string): ServiceView {
	const placed = planner.image.frontendsOf(key);
	const ports = new Map<string, number>();
	const frontends: FrontendView[] = [];
	for (const frontend of planner.translations.get(key)!.frontends) {
		const entry = placed.get(`${frontend.claim} ${frontend.scope}`);
		if (!entry) continue;
		ports.set(frontend.portKey.slice(key.length + 1), entry.value.serviceId);
		const { protocol, kind, scope, drop, affinitySeconds } = frontend;
		frontends.push({
			address: endpointText(frontend.ip, frontend.port),
			protocol,
			kind,
			scope,
			tableSize: entry.value.tableSize,
			drop,
			affinitySeconds,
			backends: frontend.backends.map((backend) => ({
				id: planner.image.backendOf(entry.value.serviceId, backend.key)?.id ?? 0,
				address: endpointText(backend.ip, backend.port),
				local: backend.local,
			})),
		});
	}
	return { service: key, ports, refused: planner.refusal(key), frontends };
}
