/** Looks up names with dig inside a pod. */
import type { Environment } from './environment.ts';

export interface DigAnswer {
	/** NOERROR, NXDOMAIN, ... */
	status: string;
	/** Whether the answer was truncated. */
	cut: boolean;
	/** Sorted data of the answer section: `10.96.0.1`, `0 100 80 web.default.svc.cluster.local.`. */
	data: string[];
	/** Types of the records, by section. */
	types: Record<'answer' | 'authority' | 'additional', string[]>;
	/** Octets. */
	size: number;
	/** Transport of the last answer. */
	transport: string;
}

const SECTIONS = { answer: 'ANSWER', authority: 'AUTHORITY', additional: 'ADDITIONAL' } as const;

/** @param args as on dig's command line; the pod's container is named `server` */
export async function dig(env: Environment, pod: string, ...args: string[]): Promise<DigAnswer> {
	const options = ['+tries=2', '+time=2', '+nocookie'];
	const text = await env.kubectl('exec', pod, '-c', 'server', '--', 'dig', ...options, ...args);
	const status = /status: (\w+)/.exec(text)?.[1];
	if (!status) throw new Error(`dig ${args.join(' ')} got no answer: ${text}`);
	const lines = (section: keyof typeof SECTIONS): string[][] => {
		const block = text.split(`;; ${SECTIONS[section]} SECTION:\n`)[1]?.split('\n\n')[0] ?? '';
		return block.split('\n').flatMap((line) => (line === '' ? [] : [line.split(/\s+/)]));
	};
	const types = (section: keyof typeof SECTIONS): string[] => lines(section).map((fields) => fields[3]!);
	return {
		status,
		cut: /flags:[^;]* tc[ ;]/.test(text),
		data: lines('answer')
			.map((fields) => fields.slice(4).join(' ').replaceAll('"', ''))
			.sort(),
		types: { answer: types('answer'), authority: types('authority'), additional: types('additional') },
		size: Number(/MSG SIZE {2}rcvd: (\d+)/.exec(text)?.[1]),
		transport: /SERVER: .*\((UDP|TCP)\)/.exec(text)?.[1] ?? '',
	};
}
