/**
 * Text for a terminal. Names and messages of API objects may hold control characters (C0, DEL, C1),
 * which terminals obey, and marks that reorder text (UAX #9).
 */

const COMMANDS = /[\p{Control}\p{Bidi_Control}\u2028\u2029]/gu;
const COMMANDS_IN_LINES = /(?![\n\t])[\p{Control}\p{Bidi_Control}\u2028\u2029]/gu;
/** Characters that JSON.stringify() leaves as they are. */
const COMMANDS_IN_JSON = /(?!\n)[\p{Control}\p{Bidi_Control}\u2028\u2029]/gu;
const REPLACEMENT = '\uFFFD';

/** One line: replaces every control character by U+FFFD. */
export function printable(text: string): string {
	return text.replace(COMMANDS, REPLACEMENT);
}

/** As printable(), but keeps line feeds and tabs. */
export function printableLines(text: string): string {
	return text.replace(COMMANDS_IN_LINES, REPLACEMENT);
}

/** Escapes control characters in JSON that spaces indent; its values stay the same. */
export function printableJson(json: string): string {
	return json.replace(COMMANDS_IN_JSON, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
