/**
 * Refuses requests that a web page can make a browser send, whatever credentials the browser adds to them: under a
 * name that an attacker's DNS points here, from another origin, or with a body type that needs no preflight (Fetch
 * standard, "CORS-safelisted request-header"). No answer has a CORS header.
 */
import type { IncomingMessage } from 'node:http';
import type { ServedNames } from '../../auth/certificates.ts';
import { ApiError } from '../errors.ts';
import { PROTOBUF } from '../protobuf/decode.ts';
import { mediaType } from './body.ts';

const OBJECTS = ['application/json', 'application/yaml', PROTOBUF];
const PATCHES = [
	'application/json-patch+json',
	'application/merge-patch+json',
	'application/strategic-merge-patch+json',
	'application/apply-patch+yaml',
];

const refused = (message: string): ApiError => new ApiError(403, 'Forbidden', message, {});

export interface Screen {
	/** @throws ApiError 403 for a host, an origin or a fetch site that is not this server's. */
	checkSender(request: IncomingMessage): void;
}

/** @param names by which the API server is called */
export function createScreen({ dns, addresses }: ServedNames): Screen {
	const served = new Set([...dns, ...addresses].map((name) => name.toLowerCase()));
	return {
		checkSender({ headers, url }) {
			if (!url?.startsWith('/')) throw refused('a request names a path of this server, not a whole URL');
			if (!served.has(hostOf(headers.host)))
				throw refused(
					`"${headers.host ?? ''}" is no name of this API server; use a name or an address of its certificate`,
				);
			const { origin } = headers;
			if (origin !== undefined && !isSame(origin, `https://${headers.host}`))
				throw refused(`pages of ${origin} may not use this API server`);
			const site = headers['sec-fetch-site'];
			if (site !== undefined && site !== 'same-origin' && site !== 'none')
				throw refused('pages of other sites may not use this API server');
		},
	};
}

/** Another port of this machine is another origin: a server of another user may listen there. */
const isSame = (one: string, other: string): boolean => URL.parse(one)?.origin === URL.parse(other)?.origin;

/** The host of a Host header, without port and brackets. */
function hostOf(header: string | undefined): string {
	const url = header === undefined || /[/?#@\\\s]/.test(header) ? null : URL.parse(`https://${header}`);
	return (url?.hostname ?? '').replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

/** @returns media types that a body of this request may have, or undefined where it has a declared one, or no body. */
export function undeclaredBody(request: IncomingMessage): readonly string[] | undefined {
	const { method = 'GET', headers } = request;
	const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
	// pages cannot set this header (Fetch standard, "forbidden request-header"): kubectl's SPDY has no body
	const bodiless = !['POST', 'PUT', 'PATCH'].includes(method) || headers.upgrade !== undefined;
	if (bodiless && !hasBody) return undefined;
	const declared = method === 'PATCH' ? PATCHES : OBJECTS;
	return declared.includes(mediaType(request)) ? undefined : declared;
}

/** The answer to a body of undeclared type before its sender is known. */
export const refusedBody = (): ApiError =>
	refused('the body has no media type of this API: it looks like a form or a script of a web page');
