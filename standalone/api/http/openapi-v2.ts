/**
 * The schemas exist only in OpenAPI v3. kubectl requests v2 if a file contains a `v1/List` or a
 * kind that v3 lacks, and fails without a response. With this empty document, it leaves validation
 * to the server.
 */
export const OPENAPI_V2 = {
	swagger: '2.0',
	info: { title: 'Kubernetes', version: 'v1.32.0' },
	paths: {},
	definitions: {},
};

const LENGTH_DELIMITED = 2;

/** Encodes one length-delimited protobuf field, with less than 128 bytes of content. */
function field(number: number, content: Buffer): Buffer {
	return Buffer.concat([Buffer.from([(number << 3) | LENGTH_DELIMITED, content.length]), content]);
}

const text = (number: number, value: string): Buffer => field(number, Buffer.from(value));

/**
 * The document as gnostic's openapi.v2.Document: swagger = 1, info = 2 (title = 1, version = 2),
 * paths = 8.
 */
export function openApiV2Bytes(): Buffer {
	const { title, version } = OPENAPI_V2.info;
	const info = Buffer.concat([text(1, title), text(2, version)]);
	return Buffer.concat([text(1, OPENAPI_V2.swagger), field(2, info), field(8, Buffer.alloc(0))]);
}
