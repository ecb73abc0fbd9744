/**
 * Sends requests to addresses from its own place (a pod, a node, outside) and prints a line of JSON
 * for each. It is a separate process, because the cgroup and namespace of a socket are fixed when
 * it is created.
 *
 * Usage: prober.ts <job as JSON>
 */
import { createSocket } from 'node:dgram';
import { get } from 'node:http';
import type { FollowJob, FollowLine, Job, ProbeJob, ProbeResult, Target } from './job.ts';

const AT_ONCE = 4;

/**
 * Source ports of UDP requests, each used once. Nodes remember a flow for a while after its last
 * packet: a new request from the same port to the same pod would count as part of it.
 */
const sourcePorts = { next: 33_000, last: 60_000 };

/** @returns the answer; rejects with the reason */
function ask(target: Target, timeoutMs: number): Promise<string> {
	return target.protocol === 'UDP' ? askUdp(target, timeoutMs) : askHttp(target, timeoutMs);
}

function askHttp({ address, port }: Target, timeout: number): Promise<string> {
	return new Promise((resolve, reject) => {
		const host = address.includes(':') ? `[${address}]` : address;
		// No HTTP agent: every request needs its own connection, since a connection keeps its backend
		const call = get({ host: address, port, path: '/hostname', agent: false, timeout, headers: { host } });
		call.once('response', (response) => {
			let body = '';
			response.setEncoding('utf8');
			response.on('data', (chunk: string) => {
				body += chunk;
			});
			response.once('end', () => resolve(body.trim()));
			response.once('error', reject);
		});
		call.once('timeout', () => call.destroy(new Error('no answer in time')));
		call.once('error', reject);
	});
}

function askUdp({ address, port }: Target, timeoutMs: number): Promise<string> {
	return new Promise((resolve, reject) => {
		const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
		const settle = (action: () => void) => {
			clearTimeout(timer);
			socket.close();
			action();
		};
		const timer = setTimeout(() => settle(() => reject(new Error('no answer in time'))), timeoutMs);
		socket.once('error', (error) => settle(() => reject(error)));
		socket.once('message', (message, from) => {
			// A client accepts answers only from the address of its request
			if (from.address !== address || from.port !== port)
				settle(() => reject(new Error(`answered by ${from.address} port ${from.port}`)));
			else settle(() => resolve(message.toString().trim()));
		});
		socket.bind(sourcePorts.next++, () => {
			if (sourcePorts.next > sourcePorts.last) sourcePorts.next = 33_000;
			socket.send('hostname', port, address, (error) => error && settle(() => reject(error)));
		});
	});
}

async function probe(job: ProbeJob): Promise<void> {
	for (const target of job.targets) print(await probeTarget(target, job));
}

async function probeTarget(target: Target, { requests, timeoutMs }: ProbeJob): Promise<ProbeResult> {
	const backends: Record<string, number> = {};
	const times: number[] = [];
	let left = requests;
	let failed = 0;
	let error: string | undefined;
	const worker = async () => {
		while (left-- > 0) {
			const start = performance.now();
			try {
				const backend = await ask(target, timeoutMs);
				times.push(performance.now() - start);
				backends[backend] = (backends[backend] ?? 0) + 1;
			} catch (cause) {
				failed++;
				error ??= (cause as Error).message;
				if (times.length === 0 && failed >= AT_ONCE) return; // nothing answers: do not wait for each
			}
		}
	};
	await Promise.all(Array.from({ length: AT_ONCE }, worker));
	times.sort((a, b) => a - b);
	const medianMs = times[times.length >> 1];
	return {
		id: target.id,
		answered: times.length,
		failed,
		backends,
		...(medianMs === undefined ? {} : { medianMs }),
		...(error === undefined ? {} : { error }),
	};
}

/** Sends requests to one address until the time is over; prints every answer with its time. */
async function follow({ target, durationMs, timeoutMs }: FollowJob): Promise<void> {
	const end = Date.now() + durationMs;
	const worker = async () => {
		while (Date.now() < end) {
			const at = Date.now();
			const line: FollowLine = await ask(target, timeoutMs).then(
				(backend) => ({ at, backend }),
				(error: Error) => ({ at, error: error.message }),
			);
			print(line);
			await new Promise((resolve) => setTimeout(resolve, 5));
		}
	};
	await Promise.all([worker(), worker()]);
}

function print(line: object): void {
	process.stdout.write(`${JSON.stringify(line)}\n`);
}

const job = JSON.parse(process.argv[2] ?? '') as Job;
await (job.kind === 'probe' ? probe(job) : follow(job));
