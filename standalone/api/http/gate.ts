/**
 * Every request passes this gate first. It screens, authenticates and authorizes, in this order.
 */
import type { IncomingMessage } from 'node:http';
import type { Authorizer } from '../../auth/access.ts';
import type { Authenticate } from '../../auth/authenticate.ts';
import { accessForbidden, unauthorized } from '../../auth/forbidden.ts';
import { impersonated } from '../../auth/impersonate.ts';
import type { User } from '../../auth/user.ts';
import { unsupportedMediaType } from '../errors.ts';
import { accessesOf } from './request-access.ts';
import { refusedBody, type Screen, undeclaredBody } from './screen.ts';

/** Paths open to every client: health and version. */
const PUBLIC = new Set(['/livez', '/readyz', '/version', '/version/']);

export interface GateOptions {
	readonly screen: Screen;
	readonly authenticate: Authenticate;
	readonly authorizer: Authorizer;
}

export interface Gate {
	/**
	 * Admits a request.
	 * @returns its user; undefined on a public path.
	 * @throws ApiError 401, 403, 415.
	 */
	admit(request: IncomingMessage, url: URL): Promise<User | undefined>;
}

export function createGate({ screen, authenticate, authorizer }: GateOptions): Gate {
	return {
		async admit(request, url) {
			const { method = 'GET' } = request;
			screen.checkSender(request);
			const body = undeclaredBody(request);
			if (PUBLIC.has(url.pathname) && (method === 'GET' || method === 'HEAD') && !body) return undefined;
			const sender = await authenticate(request);
			if (!sender) throw body ? refusedBody() : unauthorized();
			const user = impersonated(sender, request.headers, authorizer);
			for (const access of accessesOf(method, url))
				if (!authorizer.authorize(user, access).allowed) throw accessForbidden(user, access);
			if (body) throw unsupportedMediaType(body);
			return user;
		},
	};
}

/** The gate of a server without credentials refuses every request. */
export const CLOSED: Gate = {
	admit: () => Promise.reject(unauthorized()),
};
