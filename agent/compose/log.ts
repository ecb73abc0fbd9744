import pino, { type DestinationStream, type Logger } from 'pino';
import { safeLine } from '../base/log.ts';
import type { Config } from '../config.ts';

/**
 * Writes JSON lines to stdout synchronously: lines before a crash are complete, and no thread runs
 * beside the FFI. Escapes control characters, because people read the log on a terminal, and
 * removes tokens that a server or a credential plugin put into an error.
 */
export function openLog(level: Config['logLevel'], to: DestinationStream = stdout()): Logger {
	return pino(
		{
			level,
			base: null,
			timestamp: pino.stdTimeFunctions.isoTime,
			formatters: { level: (label) => ({ level: label }) },
			hooks: { streamWrite: safeLine },
		},
		to,
	);
}

const stdout = () => pino.destination({ fd: 1, sync: true });
