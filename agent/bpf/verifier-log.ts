import { BpfError } from './error.ts';

/** Lines of the verifier that an error message carries: the refusal and the instructions before it. */
const TAIL = 24;

const EPERM = 1;
/** CAP_BPF and CAP_PERFMON are of Linux 5.8. */
const CAPABILITIES =
	'the process needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or CAP_SYS_ADMIN before Linux 5.8';

/** An object that could not be loaded. */
export class LoadError extends BpfError {
	/** All that libbpf warned of, with the whole verifier log. */
	readonly log: string;

	constructor(object: string, errno: number, detail: string, log: string) {
		super({ operation: 'load', object, errno, detail });
		this.name = 'LoadError';
		this.log = log;
	}
}

/** The verifier's part of libbpf's warnings, and the program it is about. */
export function verifierLog(
	warnings: string,
): { readonly program: string; readonly lines: string[] } | undefined {
	const match = /prog '([^']+)': -- BEGIN PROG LOAD LOG --\n([\s\S]*?)-- END PROG LOAD LOG --/.exec(warnings);
	return match ? { program: match[1]!, lines: match[2]!.trimEnd().split('\n') } : undefined;
}

/** Makes libbpf's warnings about a failed load readable: the program, the verifier's last lines. */
export function loadFailure(object: string, errno: number, warnings: string): LoadError {
	const verifier = verifierLog(warnings);
	if (!verifier) {
		const said = warnings.trim().split('\n').join('; ') || 'libbpf gave no reason';
		const detail = errno === EPERM ? `${CAPABILITIES}; libbpf says: ${said}` : said;
		return new LoadError(`BPF object ${object}`, errno, detail, warnings);
	}
	const cut = verifier.lines.length > TAIL ? [`... ${verifier.lines.length - TAIL} lines before`] : [];
	const tail = [...cut, ...verifier.lines.slice(-TAIL)].join('\n');
	return new LoadError(
		`program ${verifier.program} of ${object}`,
		errno,
		`the verifier says:\n${tail}\n`,
		warnings,
	);
}
