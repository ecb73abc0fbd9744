/**
 * Facts that each client reports about a cluster. Programs in other languages print them as JSON.
 */
export interface KindFacts {
	/** The object's value after its creation. */
	readonly created: string;
	/** The type and name of the first event after a list. */
	readonly watched: string;
	/** Whether a list contains the object. */
	readonly listed: boolean;
	readonly updated: string;
	/** Status of an update from an object that was read before another update. */
	readonly conflict: number;
	readonly patched: string;
	/** Status of a read after the deletion. */
	readonly deleted: number;
}

export interface Facts {
	/** gitVersion of /version. */
	readonly version: string;
	readonly ConfigMap: KindFacts;
	readonly Service: KindFacts;
}

/** Statuses of the requests of a service account that is bound to the ClusterRole view. */
export interface Rights {
	readonly listPods: number;
	readonly createPod: number;
	readonly listSecrets: number;
}

/** One way to use a cluster. */
export interface Client {
	/** @param name of the objects that the client creates and deletes */
	facts(kubeconfig: string, name: string): Promise<Facts>;
	/** @param account directory with the files of a service account, as a pod has them */
	rights?(account: string, environment: Record<string, string>): Promise<Rights>;
}

export const NAMESPACE = 'default';
