import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import type {
	Answer,
	FlowReport,
	FlowRequest,
	HoldReport,
	ProbeReply,
	ProbeRequest,
	StreamReport,
	StreamRequest,
} from './probe-messages.ts';

export interface RequestOptions {
	count?: number;
	parallel?: number;
	timeoutMs?: number;
	localPorts?: number[];
}

/** Sends requests from one place through a probe process. */
export class Prober implements Disposable {
	readonly where: string;
	readonly #child: ChildProcessWithoutNullStreams;
	readonly #waiting = new Map<
		number,
		{ resolve: (reply: ProbeReply) => void; reject: (error: Error) => void }
	>();
	#id = 0;
	#said = '';

	constructor(where: string, child: ChildProcessWithoutNullStreams) {
		this.where = where;
		this.#child = child;
		createInterface({ input: child.stdout }).on('line', (line) =>
			this.#reply(JSON.parse(line) as ProbeReply),
		);
		child.stderr.on('data', (chunk: Buffer) => {
			this.#said = (this.#said + chunk).slice(-2000);
		});
		child.stdin.on('error', () => {}); // the handler of 'exit' reports it
		child.once('error', (error) => this.#fail(error.message));
		child.once('exit', (code, signal) => this.#fail(`ended with ${signal ?? code}: ${this.#said}`));
	}

	/** GET http://host:port/path. */
	async http(
		host: string,
		port: number,
		path = '/hostname',
		options: RequestOptions = {},
	): Promise<Answer[]> {
		const { count = 1, parallel = 8, timeoutMs = 3000, localPorts } = options;
		const ports = localPorts ? { localPorts } : {};
		const reply = await this.#ask({ op: 'http', host, port, path, count, parallel, timeoutMs, ...ports });
		return reply.answers!;
	}

	/** Sends a datagram from a new socket and waits for the answer. */
	async udp(
		host: string,
		port: number,
		message = 'hostname',
		options: RequestOptions = {},
	): Promise<Answer[]> {
		const { count = 1, parallel = 8, timeoutMs = 1000, localPorts } = options;
		const ports = localPorts ? { localPorts } : {};
		const reply = await this.#ask({ op: 'udp', host, port, message, count, parallel, timeoutMs, ...ports });
		return reply.answers!;
	}

	/** Opens connections and keeps them busy until `release()`. */
	async hold(name: string, host: string, port: number, connections: number, everyMs = 20): Promise<void> {
		await this.#ask({ op: 'hold', name, host, port, path: '/hostname', connections, everyMs });
	}

	async release(name: string): Promise<HoldReport> {
		return (await this.#ask({ op: 'release', name })).report!;
	}

	/** Sends requests to every target over new connections until `streamed()`. */
	async stream(name: string, targets: StreamRequest['targets'], everyMs: number): Promise<void> {
		await this.#ask({ op: 'stream', name, targets, everyMs, timeoutMs: 3000 });
	}

	async streamed(name: string): Promise<StreamReport> {
		return (await this.#ask({ op: 'release', name })).stream!;
	}

	/** Sends datagrams from one source port for as long as the probe runs. */
	async flow(name: string, flow: Omit<FlowRequest, 'op' | 'name' | 'everyMs'>, everyMs = 20): Promise<void> {
		await this.#ask({ op: 'flow', name, ...flow, everyMs });
	}

	/** The report of the flow so far. */
	async flowing(name: string): Promise<FlowReport> {
		return (await this.#ask({ op: 'look', name })).flow!;
	}

	async #ask(request: ProbeRequest): Promise<ProbeReply> {
		const id = ++this.#id;
		const reply = await new Promise<ProbeReply>((resolve, reject) => {
			this.#waiting.set(id, { resolve, reject });
			if (this.#child.exitCode !== null) this.#fail(`ended with ${this.#child.exitCode}: ${this.#said}`);
			else this.#child.stdin.write(`${JSON.stringify({ id, ...request })}\n`);
		});
		if (reply.failure) throw new Error(`Cannot ask from ${this.where}: ${reply.failure}`);
		return reply;
	}

	#reply(reply: ProbeReply): void {
		this.#waiting.get(reply.id)?.resolve(reply);
		this.#waiting.delete(reply.id);
	}

	#fail(reason: string): void {
		for (const { reject } of this.#waiting.values())
			reject(new Error(`The probe in ${this.where} ${reason}`));
		this.#waiting.clear();
	}

	[Symbol.dispose](): void {
		this.#child.stdin.end();
	}
}
