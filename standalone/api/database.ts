import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { KubeObject } from '../port.ts';
import type { Change } from './store.ts';

export interface StoredObject {
	resource: string;
	object: KubeObject;
}

/** Version of the layout below, stored in the file. */
const LAYOUT = 1;
const RETRY_MS = 1000;
/** How long a commit waits for another writing process. Normally there is none. */
const BUSY_MS = 100;

/**
 * FULL: when a commit returns, the data is on the disk, not only in the kernel's cache. WAL: one
 * write and one sync for each commit. A clean close leaves only the one file.
 */
const OPEN = 'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;';
const TABLES = `
	CREATE TABLE objects (
		resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
		PRIMARY KEY (resource, namespace, name)
	) WITHOUT ROWID;
	CREATE TABLE revision (one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL);
	PRAGMA user_version = ${LAYOUT};
`;

/**
 * Stores the objects in one SQLite file. All writes of one turn of the event loop form one
 * transaction (group commit). To confirm a write, a caller first waits for committed().
 */
export class Database {
	readonly #db: DatabaseSync;
	readonly #put: StatementSync;
	readonly #delete: StatementSync;
	readonly #setRevision: StatementSync;
	readonly #onError: (error: unknown) => void;
	/** The newest uncommitted change of each object. */
	readonly #pending = new Map<string, Change>();
	#batch: PromiseWithResolvers<void> | undefined;
	#retry: NodeJS.Timeout | undefined;

	/**
	 * @param onError called for each failed commit; the database retries its changes.
	 * @throws Error naming the file.
	 */
	constructor(file: string, onError: (error: unknown) => void) {
		this.#onError = onError;
		this.#db = open(file);
		this.#put = this.#db.prepare('INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)');
		this.#delete = this.#db.prepare('DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?');
		this.#setRevision = this.#db.prepare('INSERT OR REPLACE INTO revision VALUES (1, ?)');
	}

	/** The resourceVersion of the last committed write; undefined for a new file. */
	revision(): number | undefined {
		const row = this.#db.prepare('SELECT value FROM revision').get() as { value: number } | undefined;
		return row?.value;
	}

	*objects(): Generator<StoredObject> {
		for (const row of this.#db.prepare('SELECT resource, body FROM objects').iterate())
			yield { resource: String(row['resource']), object: JSON.parse(String(row['body'])) as KubeObject };
	}

	/** Adds the change to the transaction of this turn. */
	record(change: Change): void {
		this.#pending.set(`${change.resource}\0${change.key}`, change);
		this.#schedule();
	}

	/** Resolves when all recorded changes are on the disk. Rejects if the write fails. */
	committed(): Promise<void> {
		if (this.#pending.size === 0) return Promise.resolve();
		return this.#schedule();
	}

	close(): void {
		clearTimeout(this.#retry);
		if (this.#pending.size > 0) this.#commit();
		this.#db.close();
	}

	#schedule(): Promise<void> {
		if (!this.#batch) {
			this.#batch = Promise.withResolvers();
			// Most changes come from controllers, which do not wait for the commit
			this.#batch.promise.catch(() => {});
			setImmediate(() => this.#commit());
		}
		return this.#batch.promise;
	}

	#commit(): void {
		const batch = this.#batch;
		this.#batch = undefined;
		if (!this.#db.isOpen) return;
		try {
			this.#write();
			this.#pending.clear();
			batch?.resolve();
		} catch (error) {
			this.#onError(error);
			batch?.reject(error);
			clearTimeout(this.#retry);
			this.#retry = setTimeout(() => void this.#schedule(), RETRY_MS);
		}
	}

	#write(): void {
		this.#db.exec('BEGIN IMMEDIATE');
		try {
			let newest = 0;
			for (const { resource, type, object, revision } of this.#pending.values()) {
				const { namespace = '', name } = object.metadata;
				if (type === 'DELETED') this.#delete.run(resource, namespace, name);
				else this.#put.run(resource, namespace, name, JSON.stringify(object));
				newest = Math.max(newest, revision);
			}
			if (newest > 0) this.#setRevision.run(newest);
			this.#db.exec('COMMIT');
		} catch (error) {
			if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
			throw error;
		}
	}
}

function open(file: string): DatabaseSync {
	let db: DatabaseSync | undefined;
	try {
		db = new DatabaseSync(file, { timeout: BUSY_MS });
		db.exec(OPEN);
		const layout = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
		if (layout === 0) db.exec(TABLES);
		else if (layout !== LAYOUT) throw new Error(`its layout is ${layout}, this version reads ${LAYOUT}`);
		return db;
	} catch (cause) {
		db?.close();
		throw new Error(
			`Cannot open the cluster's state ${file}: ${(cause as Error).message}; "maglane standalone down" removes it`,
			{ cause },
		);
	}
}
