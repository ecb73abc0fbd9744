import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Fields } from '../../port.ts';
import { methodNotAllowed } from '../errors.ts';
import { PROTOBUF } from '../protobuf/decode.ts';
import { mediaType, parseObject, readBytes } from './body.ts';
import { sendJson } from './respond.ts';

const ALLOWED = {
	allowed: true,
	reason: 'maglane standalone has no authorization: everyone may do everything',
};
const USER = { username: 'system:admin', groups: ['system:masters', 'system:authenticated'] };
const RULES = {
	resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
	nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
	incomplete: false,
};

/** Reviews are answered and not stored: what `kubectl auth` asks. */
const REVIEWS: Record<string, { kind: string; status: object }> = {
	'authorization.k8s.io/v1/selfsubjectaccessreviews': { kind: 'SelfSubjectAccessReview', status: ALLOWED },
	'authorization.k8s.io/v1/subjectaccessreviews': { kind: 'SubjectAccessReview', status: ALLOWED },
	'authorization.k8s.io/v1/localsubjectaccessreviews': { kind: 'LocalSubjectAccessReview', status: ALLOWED },
	'authorization.k8s.io/v1/selfsubjectrulesreviews': { kind: 'SelfSubjectRulesReview', status: RULES },
	'authentication.k8s.io/v1/selfsubjectreviews': { kind: 'SelfSubjectReview', status: { userInfo: USER } },
};

/** @returns whether the path was that of a review. @throws ApiError 405. */
export async function serveReview(
	request: IncomingMessage,
	response: ServerResponse,
	path: string,
): Promise<boolean> {
	const asked = path.replace(/^\/apis\//, '').replace(/\/namespaces\/[^/]+\//, '/');
	const review = REVIEWS[asked];
	if (!review || !path.startsWith('/apis/')) return false;
	if (request.method !== 'POST') throw methodNotAllowed();
	const body = await readBytes(request);
	// The answer is the same whatever is asked
	const sent = (mediaType(request) === PROTOBUF ? {} : parseObject(body, mediaType(request))) as Fields;
	const apiVersion = asked.slice(0, asked.lastIndexOf('/'));
	const { kind, status } = review;
	sendJson(response, 201, { kind, apiVersion, metadata: {}, spec: sent?.spec ?? {}, status });
	return true;
}
