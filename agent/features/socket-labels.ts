/** Excludes sockets of this node's pods from load balancing, by labels of pods and namespaces. */

import type { Sink } from '../base/sink.ts';
import { child, isJson, type Json } from '../model/read.ts';

/** `off`: sockets are not balanced. The label of a pod overrides that of its namespace. */
export const SOCKET_LABEL = 'maglane.io/socket-lb';

export class SocketLabels {
	readonly #tell: (uids: readonly string[]) => void;
	readonly #pods = new Map<
		string,
		{ readonly uid: string; readonly namespace: string; readonly label: unknown }
	>();
	/** Labels of namespaces. */
	readonly #namespaces = new Map<string, unknown>();
	/** Resources that have not been listed yet. */
	readonly #missing = new Set(['pods', 'namespaces']);
	/** Resources that the API server refuses to list, with its reason. */
	readonly #forbidden = new Map<string, string>();
	#last: string | undefined;

	/** Calls the function with the UIDs of excluded pods: when all are known, and at each change. */
	constructor(tell: (uids: readonly string[]) => void) {
		this.#tell = tell;
	}

	/** Sink for the pods of this node. */
	readonly pods: Sink = {
		upsert: (key, pod) => {
			if (!isJson(pod)) return;
			const { uid, namespace } = child(pod, 'metadata');
			// pods with hostNetwork count as the node itself
			if (child(pod, 'spec')['hostNetwork'] === true) return;
			this.#pods.set(key, { uid: String(uid), namespace: String(namespace), label: labelOf(pod) });
			this.#changed();
		},
		remove: (key) => {
			this.#pods.delete(key);
			this.#changed();
		},
		listed: () => this.#listed('pods'),
		forbidden: (why) => this.#listed('pods', why),
	};

	readonly namespaces: Sink = {
		upsert: (key, namespace) => {
			if (!isJson(namespace)) return;
			this.#namespaces.set(key, labelOf(namespace));
			this.#changed();
		},
		remove: (key) => {
			this.#namespaces.delete(key);
			this.#changed();
		},
		listed: () => this.#listed('namespaces'),
		forbidden: (why) => this.#listed('namespaces', why),
	};

	/** Labels that the agent may not read, with the remedy; undefined if it reads all. */
	get degradation(): string | undefined {
		if (this.#forbidden.size === 0) return undefined;
		const [why] = this.#forbidden.values();
		const resources = [...this.#forbidden.keys()].join(' and ');
		return `The label ${SOCKET_LABEL} of ${resources} has no effect: ${why}; allow the agent to list and watch ${resources}, or set --socket-lb=all`;
	}

	/** @param forbidden why there is no list; labels of the other resource still count */
	#listed(what: string, forbidden?: string): void {
		this.#missing.delete(what);
		if (forbidden === undefined) this.#forbidden.delete(what);
		else this.#forbidden.set(what, forbidden);
		this.#changed();
	}

	#changed(): void {
		if (this.#missing.size > 0) return;
		const uids = [...this.#pods.values()]
			.filter(({ label, namespace }) => (label ?? this.#namespaces.get(namespace)) === 'off')
			.map(({ uid }) => uid)
			.sort();
		const text = uids.join();
		if (text === this.#last) return;
		this.#last = text;
		this.#tell(uids);
	}
}

function labelOf(object: Json): unknown {
	return child(child(object, 'metadata'), 'labels')[SOCKET_LABEL];
}
