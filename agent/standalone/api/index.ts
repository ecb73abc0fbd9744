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
import { CLOSED, createGate } from './http/gate.ts';
import { createHandler, type HandlerDeps } from './http/handler.ts';
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

/** What the server needs to know its clients, and to be known by them. */
export interface Credentials {
	/** Certificate of the authority that signs the server's and the clients' certificates, in PEM. */
	readonly authority: string;
	readonly server: KeyPair;
	/** Names of the server's certificate. A request to another host is refused. */
	readonly names: ServedNames;
	/** Private key that signs tokens of service accounts: ECDSA P-256, PKCS #8 in PEM. */
	readonly tokenKey: string;
}

export interface ApiOptions {
	/** Without them the server has no listener, and its objects are reached in process alone. */
	credentials?: Credentials;
	/** The cluster's address families, primary first. */
	families?: readonly Family[];
	/** One service CIDR for each family. */
	serviceCidrs?: readonly string[];
	/** `<first>-<last>`, both included. */
	nodePortRange?: string;
	/** Milliseconds since the epoch. */
	clock?: () => number;
	/** 0 <= x < 1, for dynamic allocation and generated names. */
	random?: () => number;
	uid?: () => string;
	/** Past changes kept for resuming watches. */
	history?: number;
	/**
	 * The resourceVersion to start after; default is the clock, so that a client of an earlier server process
	 * is told 410 and lists again instead of resuming in the wrong place.
	 */
	firstRevision?: number;
	/** Milliseconds between bookmarks of a watch that allows them. */
	bookmarkInterval?: number;
	/** Told of exceptions that watch listeners throw; default is a process warning. */
	onListenerError?: (error: unknown) => void;
	/** SQLite file that holds the objects; without one they are gone with the process. */
	database?: string;
	/** Told when the database cannot be written. Writes are answered with 500 until it can; nothing is lost meanwhile. */
	onDatabaseError?: (error: unknown) => void;
	/** Told of what a stored object names and cannot have, beside the Event about it. */
	onConflict?: (object: KubeObject, message: string) => void;
	/** To try what readers do with it: writes with the header `x-maglane-unsafe` are stored as they are, valid or not. */
	unsafe?: boolean;
}

export interface Api {
	/** The in-process side; see ObjectApi. Its `unsafePut` stores what validation refuses, for tests. */
	objects: Objects;
	/** Undefined without credentials. */
	tokens: Tokens | undefined;
	/** A server of TLS that does not listen yet. @throws Error without credentials. */
	createServer(): Server;
	/** Who answers for logs and processes of pods. */
	attachNodes(pods: PodAccess): void;
	/** Serves on a loopback TCP port. @throws Error without credentials. */
	listen(options: ListenOptions): Promise<Listening>;
	/** Ends watches and servers, and closes the database. */
	close(): Promise<void>;
}

/**
 * A resourceVersion beyond all that an earlier process can have told, also of writes that it did not live to store: a
 * client that resumes there is told 410 and lists again, instead of missing what got the same numbers.
 */
const REVISION_GAP = 1_000_000;

/** The first address of the primary family, which default/kubernetes has. */
function firstAddress(family: Family, serviceCidrs: readonly string[]): string {
	return serviceCidrs
		.map((cidr) => new IpRange(cidr))
		.find((range) => range.family === family)!
		.at(0);
}

/** The API of a cluster: initial namespaces, default/kubernetes, allocators, HTTP; with what the database holds. */
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
