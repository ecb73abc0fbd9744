import pino, { type Logger } from 'pino';
import { MAGLANE_ABI } from './abi/layout.ts';
import { runAgent } from './agent.ts';
import { openDataplane } from './bpf/dataplane.ts';
import type { Config } from './config.ts';
import { systemClock } from './kube/clock.ts';
import { loadApiTarget } from './kube/kubeconfig.ts';

/** JSON lines on stdout, written at once: what was logged before a crash is there, and no thread runs beside the FFI. */
function openLog(level: Config['logLevel']): Logger {
	return pino(
		{
			level,
			base: null,
			timestamp: pino.stdTimeFunctions.isoTime,
			formatters: { level: (label) => ({ level: label }) },
		},
		pino.destination({ fd: 1, sync: true }),
	);
}

/**
 * `maglane agent`: runs until SIGTERM or SIGINT; then everything stays attached and serves on.
 *
 * @returns exit code
 * @throws Error when the dataplane cannot be brought up; the API server may be away
 */
export async function startAgent(config: Config, version: string): Promise<number> {
	const log = openLog(config.logLevel);
	const stop = new AbortController();
	for (const name of ['SIGTERM', 'SIGINT'] as const) {
		process.once(name, () => {
			log.info({ signal: name }, 'agent.stopping');
			stop.abort();
		});
	}
	const { signal } = stop;
	try {
		const target = await loadApiTarget(config);
		const dataplane = await openDataplane(config, log.child({ part: 'bpf' }), signal);
		try {
			await runAgent({
				config,
				dataplane,
				target,
				log,
				clock: systemClock,
				random: Math.random,
				version,
				abi: MAGLANE_ABI,
				signal,
			});
		} finally {
			dataplane.close();
		}
	} catch (error) {
		if (!signal.aborted) throw error;
	}
	return 0;
}
