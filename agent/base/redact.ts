/** A header that a server echoes. A digit or capital distinguishes a token from a word. */
const HEADER =
	/\b(Bearer|Basic|(?<=authorization\W{1,3})(?:bearer|basic))(?:\s+|%20)(?=[^\s"]*[\d._~+/=A-Z])[\w.~+/=-]+/g;
const JSON_WEB_TOKEN = /\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]+)?/g;

/** Replaces tokens and passwords of HTTP headers, and JSON Web Tokens, by asterisks. */
export function redactTokens(text: string): string {
	return text.replace(HEADER, '$1 ***').replace(JSON_WEB_TOKEN, '***');
}
