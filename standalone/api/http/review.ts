/**
 * Reviews: the server answers them without storing them. `kubectl auth` and servers that verify
 * tokens use them (authorization.k8s.io).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type {
	V1SelfSubjectRulesReviewSpec,
	V1SubjectAccessReviewSpec,
	V1TokenReviewSpec,
} from '@kubernetes/client-node';
import type { Access, Authorizer } from '../../auth/access.ts';
import type { Tokens } from '../../auth/tokens.ts';
import { AUTHENTICATED, type User } from '../../auth/user.ts';
import { badRequest, methodNotAllowed } from '../errors.ts';
import type { Models } from '../schema/models.ts';
import { sendJson } from './respond.ts';
import { resourcePathOf } from './route.ts';
import { readTyped } from './typed-body.ts';

export interface ReviewDeps {
	readonly models: Models;
	readonly authorizer: Authorizer;
	readonly tokens: Tokens;
}

/** The fields of all specs, as the client sent them. */
type Spec = V1SubjectAccessReviewSpec & V1SelfSubjectRulesReviewSpec & Partial<V1TokenReviewSpec>;

interface Asked {
	readonly user: User;
	readonly spec: Spec;
	/** The namespace of the path; empty for a cluster-scoped kind. */
	readonly namespace: string;
}

interface Review {
	readonly kind: string;
	readonly namespaced?: boolean;
	status(deps: ReviewDeps, asked: Asked): object | Promise<object>;
}

const REVIEWS: Readonly<Record<string, Review>> = {
	'authorization.k8s.io/v1/selfsubjectaccessreviews': {
		kind: 'SelfSubjectAccessReview',
		status: ({ authorizer }, { user, spec }) => authorizer.authorize(user, accessOf(spec)),
	},
	'authorization.k8s.io/v1/subjectaccessreviews': {
		kind: 'SubjectAccessReview',
		status: ({ authorizer }, { spec }) => authorizer.authorize(userOf(spec), accessOf(spec)),
	},
	'authorization.k8s.io/v1/localsubjectaccessreviews': {
		kind: 'LocalSubjectAccessReview',
		namespaced: true,
		status: ({ authorizer }, { spec, namespace }) => {
			if (spec.resourceAttributes?.namespace !== namespace)
				throw badRequest('spec.resourceAttributes.namespace must match the namespace of the request');
			return authorizer.authorize(userOf(spec), accessOf(spec));
		},
	},
	'authorization.k8s.io/v1/selfsubjectrulesreviews': {
		kind: 'SelfSubjectRulesReview',
		status: ({ authorizer }, { user, spec }) => rulesOf(authorizer, user, spec.namespace),
	},
	'authentication.k8s.io/v1/selfsubjectreviews': {
		kind: 'SelfSubjectReview',
		status: (_deps, { user }) => ({ userInfo: userInfo(user) }),
	},
	'authentication.k8s.io/v1/tokenreviews': {
		kind: 'TokenReview',
		status: ({ tokens }, { spec }) => tokenStatus(tokens, spec),
	},
};

/** Resources of the reviews, for discovery. */
export const REVIEW_RESOURCES = Object.entries(REVIEWS).map(([path, { kind, namespaced = false }]) => {
	const [group, version, resource] = path.split('/') as [string, string, string];
	return { group, version, resource, kind, namespaced };
});

/** @returns whether the path belongs to a review. @throws ApiError 400, 405. */
export async function serveReview(
	deps: ReviewDeps,
	user: User,
	request: IncomingMessage,
	response: ServerResponse,
	path: string,
): Promise<boolean> {
	const { group, version, resource, namespace = '', name } = resourcePathOf(path) ?? {};
	const apiVersion = `${group}/${version}`;
	const asked = `${apiVersion}/${resource}`;
	const review = Object.hasOwn(REVIEWS, asked) ? REVIEWS[asked] : undefined;
	if (!review || (review.namespaced ?? false) !== (namespace !== '')) return false;
	if (request.method !== 'POST' || name !== undefined) throw methodNotAllowed();
	const type = { group: group!, version: version!, kind: review.kind };
	const { spec = {} } = await readTyped<{ spec?: Spec }>(deps.models, type, request);
	const status = await review.status(deps, { user, spec, namespace });
	sendJson(response, 201, { kind: review.kind, apiVersion, metadata: {}, spec, status });
	return true;
}

/** @throws ApiError 400 unless the spec has exactly one of the two kinds of attributes. */
function accessOf({ resourceAttributes: resource, nonResourceAttributes: path }: Spec): Access {
	if (!resource === !path)
		throw badRequest('exactly one of nonResourceAttributes or resourceAttributes must be specified');
	if (path) return { kind: 'path', verb: path.verb ?? '', path: path.path ?? '' };
	const attributes = resource!;
	return {
		kind: 'resource',
		verb: attributes.verb ?? '',
		group: attributes.group ?? '',
		resource: attributes.resource ?? '',
		subresource: attributes.subresource ?? '',
		namespace: attributes.namespace ?? '',
		name: attributes.name ?? '',
	};
}

/** @throws ApiError 400 for a spec without user and groups. */
function userOf({ user = '', groups = [], uid, extra }: Spec): User {
	if (user === '' && groups.length === 0) throw badRequest('at least one of user or group must be specified');
	return { name: user, groups, ...(uid ? { uid } : {}), ...(extra ? { extra } : {}) };
}

function userInfo({ name, uid, groups, extra }: User): object {
	return { username: name, ...(uid ? { uid } : {}), groups, ...(extra ? { extra } : {}) };
}

function rulesOf(authorizer: Authorizer, user: User, namespace: string | undefined): object {
	if (!namespace) throw badRequest('no namespace on request');
	const rules = authorizer.rulesOf(user, namespace);
	return {
		resourceRules: rules.filter(({ resources = [] }) => resources.length > 0),
		nonResourceRules: rules.filter(({ nonResourceURLs = [] }) => nonResourceURLs.length > 0),
		incomplete: false,
	};
}

async function tokenStatus(tokens: Tokens, { token = '', audiences }: Spec): Promise<object> {
	const user = await tokens.verify(token, audiences && audiences.length > 0 ? audiences : undefined);
	if (!user) return { authenticated: false, user: {}, error: 'the token is invalid, or has expired' };
	const groups = [...user.groups, AUTHENTICATED];
	return { authenticated: true, user: userInfo({ ...user, groups }), ...(audiences ? { audiences } : {}) };
}
