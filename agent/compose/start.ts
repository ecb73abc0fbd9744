import { MAGLANE_ABI } from '../abi/layout.ts';
import { systemClock } from '../base/clock.ts';
import { openDataplane } from '../bpf/dataplane.ts';
import type { Config } from '../config.ts';
import { loadApiTarget } from '../kube/kubeconfig.ts';
import { runAgent } from './agent.ts';
import { openLog } from './log.ts';

/**
 * `maglane agent`: runs until SIGTERM or SIGINT. The programs then stay attached and keep serving.
 *
 * @returns exit code
 * @throws Error when the dataplane cannot be started; the API server may be unreachable
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
