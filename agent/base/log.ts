import { printableJson } from './printable.ts';
import { redactTokens } from './redact.ts';

/** Structured log: each line has fields and the name of an event. A pino logger implements it. */
export interface Log {
	debug(fields: object, event: string): void;
	info(fields: object, event: string): void;
	warn(fields: object, event: string): void;
	error(fields: object, event: string): void;
	isLevelEnabled?(level: string): boolean;
}

/** A JSON line without tokens, whose control characters are escaped: for pino's streamWrite. */
export const safeLine = (line: string): string => printableJson(redactTokens(line));
