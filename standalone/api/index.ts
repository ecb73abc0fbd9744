import { randomUUID } from 'node:crypto';
import type { Server } from 'node:https';
import { type Family, IpRange } from '../alloc/ip-range.ts';
import { createRanges } from '../alloc/service-strategy.ts';
import { createAuthenticator } from '../auth/authenticate.ts';
import { ensureBootstrapRoles } from '../auth/bootstrap-roles.ts';
import type { KeyPair, ServedNames } from '../auth/certificates.ts';
import { createAuthorizer } from '../auth/rbac.ts';
import { followTokenSecrets } from '../auth/token-secrets.ts';
import { createTokens, steadyClock, type Tokens } from '../auth/tokens.ts';
import type { KubeObject } from '../port.ts';
import { Database } from './database.ts';
import type { HandlerDeps } from './http/exchange.ts';
import { CLOSED, createGate } from './http/gate.ts';
import { createHandler } from './http/handler.ts';
import { createApiServer, type Listening, type ListenOptions, listen } from './http/listen.ts';
import { createScreen } from './http/screen.ts';
import { createUpgrade } from './http/upgrade.ts';
import { Objects } from './objects.ts';
import type { PodAccess } from './pod-access.ts';
import { Models } from './schema/models.ts';
import { seed } from './seed.ts';
import { Store } from './store.ts';
import { createStrategies } from './strategies.ts';

export { ApiError } from './errors.ts';
export type { Objects } from './objects.ts';

/** Keys, certificates and names that authenticate the server and its clients. */
export interface Credentials {
	/** Certificate of the CA that signs the server's and the clients' certificates, in PEM. */
	readonly authority: string;
	readonly server: KeyPair;
	/** Names in the server's certificate. The server rejects requests to other hosts. */
	readonly names: ServedNames;
	/** Private key that signs tokens of service accounts: ECDSA P-256, PKCS #8 in PEM. */
	readonly tokenKey: string;
}

export interface ApiOptions {
	/**
	 * Without credentials the server has no listener, and only this process can reach its objects.
	 */
	credentials?: Credentials;
	/** The cluster's address families, primary first. */
	families?: readonly Family[];
	/** One service CIDR for each family. */
	serviceCidrs?: readonly string[];
	/** `<first>-<last>`, both included. */
	nodePortRange?: string;
	/** Milliseconds since the epoch. */
	clock?: () => number;
	/** Returns 0 <= x < 1. Used for dynamic allocation and generated names. */
	random?: () => number;
	uid?: () => string;
	/** Number of past changes kept for resuming watches. */
	history?: number;
	/**
	 * The resourceVersion to start after; default is the clock. Clients of an earlier server process
	 * then get 410 and list again, instead of resuming at the wrong change.
	 */
	firstRevision?: number;
	/** Milliseconds between bookmarks of a watch that allows them. */
	bookmarkInterval?: number;
	/** Called with exceptions of watch listeners; default is a process warning. */
	onListenerError?: (error: unknown) => void;
	/** SQLite file of the objects. Without a file, the objects exist only in memory. */
	database?: string;
	/**
	 * Called if a database write fails. Until a write succeeds, write requests get a 500. No change
	 * is lost in the meantime.
	 */
	onDatabaseError?: (error: unknown) => void;
	/**
	 * Called if a stored object names an address or port that it cannot have. The API also writes an
	 * Event.
	 */
	onConflict?: (object: KubeObject, message: string) => void;
	/**
	 * For tests of invalid objects: stores writes with the header `x-maglane-unsafe` without
	 * validation.
	 */
	unsafe?: boolean;
}

export interface Api {
	/** In-process access; see ObjectApi. Its `unsafePut` skips validation, for tests. */
	objects: Objects;
	/** Undefined without credentials. */
	tokens: Tokens | undefined;
	/** Creates a TLS server that does not listen yet. @throws Error without credentials. */
	createServer(): Server;
	/** Sets the provider of pod logs and processes. */
	attachNodes(pods: PodAccess): void;
	/** Listens on a loopback TCP port. @throws Error without credentials. */
	listen(options: ListenOptions): Promise<Listening>;
	/** Ends watches and servers, and closes the database. */
	close(): Promise<void>;
}

/**
 * Gap between the stored resourceVersion and the first new one. It exceeds the number of writes
 * that an earlier process can have reported but not stored. A client that resumes there gets 410
 * and lists again. Otherwise it would miss changes that reuse those numbers.
 */
const REVISION_GAP = 1_000_000;

/** The first address of the primary family; default/kubernetes uses it. */
function firstAddress(family: Family, serviceCidrs: readonly string[]): string {
	return serviceCidrs
		.map((cidr) => new IpRange(cidr))
		.find((range) => range.family === family)!
		.at(0);
}

/**
 * Creates the API of a cluster: initial namespaces, default/kubernetes, allocators and HTTP. Loads
 * stored objects from the database.
 */
export function createApi(options: ApiOptions = {}): Api {
	const {
		families = ['IPv4', 'IPv6'],
		serviceCidrs = ['10.96.0.0/16', 'fd00:10:96::/112'],
		nodePortRange = '30000-32767',
		clock = Date.now,
		random = Math.random,
		uid = randomUUID,
		history = 10_000,
		bookmarkInterval = 10_000,
		unsafe = false,
		credentials,
		onListenerError,
		onDatabaseError = (error) => process.emitWarning(error as Error),
		onConflict,
	} = options;
	const database =
		options.database === undefined ? undefined : new Database(options.database, onDatabaseError);
	const resumed = (database?.revision() ?? -REVISION_GAP) + REVISION_GAP;
	const firstRevision = Math.max(options.firstRevision ?? clock(), resumed);
	const ranges = createRanges({ families, serviceCidrs, nodePortRange, random });
	const store = new Store({ history, firstRevision, ...(onListenerError ? { onListenerError } : {}) });
	const objects = new Objects({
		store,
		strategies: createStrategies(ranges),
		clock,
		uid,
		random,
		...(onConflict ? { onConflict } : {}),
	});
	if (database) {
		store.subscribe((change) => database.record(change));
		objects.restore(database.objects());
	}
	const stops = [
		seed(objects, { first: firstAddress(families[0]!, serviceCidrs), serviceCidrs }),
		ensureBootstrapRoles(objects),
	];
	const authorizer = createAuthorizer(objects);
	const tokens = credentials && createTokens(credentials.tokenKey, objects, steadyClock());
	if (credentials && tokens) stops.push(followTokenSecrets(objects, tokens, credentials.authority));
	const abort = new AbortController();
	const deps: HandlerDeps = {
		objects,
		bookmarkInterval,
		unsafe,
		clock,
		models: new Models(),
		committed: () => database?.committed() ?? Promise.resolve(),
		pods: undefined,
		signal: abort.signal,
		authorizer,
		tokens,
		gate:
			credentials && tokens
				? createGate({
						screen: createScreen(credentials.names),
						authenticate: createAuthenticator(tokens),
						authorizer,
					})
				: CLOSED,
	};
	const tls = credentials && { ...credentials.server, authority: credentials.authority };
	const tlsOrThrow = () => {
		if (tls) return tls;
		throw new Error('Cannot serve the API: it has no credentials');
	};
	const listeners = { handler: createHandler(deps), upgrade: createUpgrade(deps) };
	const servers: Listening[] = [];
	return {
		objects,
		tokens,
		createServer: () => createApiServer(listeners, tlsOrThrow()),
		attachNodes: (pods) => {
			deps.pods = pods;
		},
		listen: async (where) => {
			const server = await listen(listeners, tlsOrThrow(), where);
			servers.push(server);
			return server;
		},
		close: async () => {
			for (const stop of stops) stop();
			abort.abort();
			await Promise.all(servers.map((server) => server.close()));
			database?.close();
		},
	};
}
