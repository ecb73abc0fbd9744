import { BpfError } from './error.ts';

/** Lines of the verifier that an error message carries: the refusal and the instructions before it. */
const TAIL = 24;

/** An object that could not be loaded. */
export class LoadError extends BpfError {
	/** All that libbpf said, with the whole verifier log. */
	readonly log: string;

	constructor(object: string, errno: number, detail: string, log: string) {
		super({ operation: 'load', object, errno, detail });
		this.name = 'LoadError';
		this.log = log;
	}
}

/** The verifier's part of libbpf's messages, and the program it is about. */
export function verifierLog(
	messages: string,
): { readonly program: string; readonly lines: string[] } | undefined {
	const match = /prog '([^']+)': -- BEGIN PROG LOAD LOG --\n([\s\S]*?)-- END PROG LOAD LOG --/.exec(messages);
	return match ? { program: match[1]!, lines: match[2]!.trimEnd().split('\n') } : undefined;
}

/** Makes libbpf's messages about a failed load readable: the program, the verifier's last lines. */
export function loadFailure(object: string, errno: number, messages: string): LoadError {
	const verifier = verifierLog(messages);
	if (!verifier) {
		const warnings = messages
			.split('\n')
			.filter((line) => /fail|error|invalid|couldn't|can't|not found|mismatch|refus/i.test(line))
			.map((line) => line.replace(/^libbpf: /, ''));
		const detail = warnings.slice(-6).join('; ') || 'libbpf gave no reason';
		return new LoadError(`BPF object ${object}`, errno, detail, messages);
	}
	const cut = verifier.lines.length > TAIL ? [`... ${verifier.lines.length - TAIL} lines before`] : [];
	const tail = [...cut, ...verifier.lines.slice(-TAIL)].join('\n');
	return new LoadError(
		`program ${verifier.program} of ${object}`,
		errno,
		`the verifier says:\n${tail}\n`,
		messages,
	);
}
