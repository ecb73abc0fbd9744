import type { ServerResponse } from 'node:http';
import { ApiError } from '../errors.ts';

/** Sends a complete JSON response. */
export function sendJson(
	response: ServerResponse,
	code: number,
	body: unknown,
	type = 'application/json',
): void {
	const text = `${JSON.stringify(body)}\n`;
	response.writeHead(code, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
	response.end(text);
}

/** Converts every error to an ApiError. An error of another class is an internal error (500). */
export function asApiError(error: unknown): ApiError {
	if (error instanceof ApiError) return error;
	const message = error instanceof Error ? error.message : String(error);
	return new ApiError(500, 'InternalError', `Internal error occurred: ${message}`, {
		causes: [{ message }],
	});
}

export function sendError(response: ServerResponse, error: unknown): void {
	const fault = asApiError(error);
	if (response.headersSent) {
		response.destroy();
		return;
	}
	// The server does not read the rest of an oversized body
	if (fault.code === 413) response.setHeader('connection', 'close');
	sendJson(response, fault.code, fault.toStatus());
}
