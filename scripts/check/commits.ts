/** Commit subjects (CONTRIBUTING.md): `area: imperative subject`, in fewer than 72 columns. */
import { execFileSync } from 'node:child_process';

const COLUMNS = 72;
/** A branch that was never tagged does not make the check slow. */
const COMMITS_MAX = 50;
/** The rule holds for commits after the one that adds this file. */
const OWN_PATH = 'scripts/check/commits.ts';

/** The fault of a subject, or undefined. */
export function subjectProblem(subject: string): string | undefined {
	// git writes these itself
	if (/^Revert "/.test(subject)) return undefined;
	if (!/^[a-z][a-z0-9-]*: \S/.test(subject)) return 'is not of the form `area: subject`';
	if (subject.length >= COLUMNS) return `has ${subject.length} columns, ${COLUMNS - 1} at most`;
	return subject.endsWith('.') ? 'ends with a period' : undefined;
}

export interface CommitProblems {
	readonly problems: readonly string[];
	/** Set when there is no history to check. */
	readonly skipped?: string;
}

/** One line for each bad subject since the latest version tag, or else since the rule. */
export function commitProblems(root: string): CommitProblems {
	const start = versionTag(root) ?? git(root, 'log', '--diff-filter=A', '--format=%H', '-1', '--', OWN_PATH);
	if (!start) return { problems: [], skipped: 'there is no history since the rule' };
	const range = ['--no-merges', `--max-count=${COMMITS_MAX}`, '--format=%h %s', `${start}..HEAD`];
	const lines = (git(root, 'log', ...range) ?? '').split('\n').filter(Boolean);
	const problems = lines.flatMap((line) => {
		const problem = subjectProblem(line.slice(line.indexOf(' ') + 1));
		return problem ? [`${line}: ${problem}`] : [];
	});
	return { problems };
}

function versionTag(root: string): string | undefined {
	return git(root, 'describe', '--tags', '--abbrev=0', '--match', 'v[0-9]*');
}

/** @returns undefined without git or a repository, and for an object that does not exist */
function git(root: string, ...args: string[]): string | undefined {
	try {
		return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim() || undefined;
	} catch {
		return undefined;
	}
}
