import { BpfError } from './error.ts';

/** Verifier lines in an error message: the refusal and the instructions before it. */
const TAIL = 24;

const EPERM = 1;
/** Linux 5.8 introduced CAP_BPF and CAP_PERFMON. */
const CAPABILITIES =
	'the process needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or CAP_SYS_ADMIN before Linux 5.8';

/** An object that the kernel or libbpf refused to load. */
export class LoadError extends BpfError {
	/** All warnings of libbpf, with the whole verifier log. */
	readonly log: string;

	constructor(object: string, errno: number, detail: string, log: string) {
		super({ operation: 'load', object, errno, detail });
		this.name = 'LoadError';
		this.log = log;
	}
}

/** The verifier log in libbpf's warnings, and its program. */
export function verifierLog(
	warnings: string,
): { readonly program: string; readonly lines: string[] } | undefined {
	const match = /prog '([^']+)': -- BEGIN PROG LOAD LOG --\n([\s\S]*?)-- END PROG LOAD LOG --/.exec(warnings);
	return match ? { program: match[1]!, lines: match[2]!.trimEnd().split('\n') } : undefined;
}

/** Makes an error of a failed load with the program and the verifier's last lines. */
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
