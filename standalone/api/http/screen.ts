/**
 * Rejects requests that a web page can make a browser send, regardless of the credentials in them:
 * - with a Host that an attacker's DNS resolves to this server
 * - from another origin
 * - with a media type that needs no preflight (Fetch standard, "CORS-safelisted request-header")
 * No response has a CORS header.
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
	/** @throws ApiError 403 for a host, origin or fetch site of another server. */
	checkSender(request: IncomingMessage): void;
}

/** @param names DNS names and addresses of the API server. */
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

/**
 * Another port of this machine is another origin, because another user's server may listen there.
 */
const isSame = (one: string, other: string): boolean => URL.parse(one)?.origin === URL.parse(other)?.origin;

/** The host of a Host header, without port and brackets. Empty if malformed. */
function hostOf(header: string | undefined): string {
	const url = header === undefined || /[/?#@\\\s]/.test(header) ? null : URL.parse(`https://${header}`);
	return (url?.hostname ?? '').replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

/**
 * @returns the media types that the body may have; undefined if there is no body or if it declares
 * one of these types.
 */
export function undeclaredBody(request: IncomingMessage): readonly string[] | undefined {
	const { method = 'GET', headers } = request;
	const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
	// pages cannot set this header (Fetch standard, "forbidden request-header"), and kubectl's SPDY
	// has no body
	const bodiless = !['POST', 'PUT', 'PATCH'].includes(method) || headers.upgrade !== undefined;
	if (bodiless && !hasBody) return undefined;
	const declared = method === 'PATCH' ? PATCHES : OBJECTS;
	return declared.includes(mediaType(request)) ? undefined : declared;
}

/** Rejects a body of undeclared type from an unauthenticated sender. */
export const refusedBody = (): ApiError =>
	refused('the body has no media type of this API: it looks like a form or a script of a web page');
