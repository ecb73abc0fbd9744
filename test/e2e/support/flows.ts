import type { Environment, From, Target } from './environment.ts';
import type { FlowReport, FlowRequest } from './probe-messages.ts';
import { eventually } from './wait.ts';

const KINDS = ['one', 'connected', 'fresh'] as const;
/** First source port, below the ranges of the kernel, of NodePorts and of SNAT. */
const FIRST_PORT = 9000;

interface Flow extends Omit<FlowRequest, 'op' | 'name' | 'everyMs'> {
	name: string;
	from: From;
}

/** UDP clients with fixed source ports, a flow for each target and kind of socket. */
export class Flows {
	readonly #env: Environment;
	readonly #flows: readonly Flow[];

	private constructor(env: Environment, flows: readonly Flow[]) {
		this.#env = env;
		this.#flows = flows;
	}

	/** Starts the flows. They run until the probes of the environment end. */
	static async start(
		env: Environment,
		from: readonly (readonly [From, readonly Target[]])[],
		firstPort = FIRST_PORT,
	): Promise<Flows> {
		let localPort = firstPort;
		const flows: Flow[] = [];
		for (const [place, targets] of from) {
			const { where } = await env.prober(place);
			for (const { host, port } of targets)
				for (const socket of KINDS) {
					const name = `${where} to ${host} (${socket}, ${localPort})`;
					flows.push({ name, from: place, host, port, localPort: localPort++, socket });
				}
		}
		for (const { from: place, name, ...flow } of flows) await (await env.prober(place)).flow(name, flow);
		return new Flows(env, flows);
	}

	/**
	 * Waits until every flow has received an answer from this backend, and no other, since the call.
	 */
	async answeredBy(hostname: string): Promise<void> {
		const before = new Map(
			(await this.#reports()).map(([name, { spans }]) => [name, spans.at(-1)?.last ?? 0]),
		);
		await eventually(`every flow is answered by ${hostname}`, async () => {
			const others = (await this.#reports()).filter(([name, { spans }]) => {
				const span = spans.at(-1);
				return span?.body !== hostname || span.last <= before.get(name)!;
			});
			if (others.length === 0) return true;
			throw new Error(others.map(([name, { spans }]) => `${name}: ${spans.at(-1)?.body}`).join('; '));
		});
	}

	/** For each flow, the time in ms between the last answer of `old` and the first one of `next`. */
	async gaps(old: string, next: string): Promise<Map<string, number>> {
		const reports = await this.#reports();
		return new Map(
			reports.map(([name, { spans }]) => {
				const last = spans.findLast(({ body }) => body === old)!.last;
				return [name, spans.find(({ body, first }) => body === next && first >= last)!.first - last];
			}),
		);
	}

	#reports(): Promise<[string, FlowReport][]> {
		return Promise.all(
			this.#flows.map(
				async ({ from, name }): Promise<[string, FlowReport]> => [
					name,
					await (await this.#env.prober(from)).flowing(name),
				],
			),
		);
	}
}
