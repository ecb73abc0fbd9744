/**
 * The rule of CONTRIBUTING.md for prose: an actor, a verb of the field, an object. This check finds
 * words that say little, clauses without a head and long lines in comments, pages and messages.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One piece of prose: a comment, a paragraph or a message. */
export interface Prose {
	/** From 1. */
	readonly line: number;
	readonly text: string;
}

export const COLUMNS = 100;
const TAB = 2;

const RULES: readonly (readonly [rule: RegExp, remedy: string])[] = [
	[/\b(?:told|tells?|telling)\b/i, 'name the act: reports, sends, calls, logs, marks'],
	[/\bstands?\b/i, 'name the state: is, lies, means'],
	[/\b(?:go|goes|going|went|gone) on\b/i, 'write "continues"'],
	[/\banew\b/i, 'write "again"'],
	[/\b(?:nobody|somebody)\b/i, 'name the actor: no process, another Service'],
	[/(?:^|[.;:(]\s+)(?:what|who|whoever)\b(?![^.;:]*\?)/i, 'begin with the noun that it means'],
	[/\b(?:of|to|by|for|from|with|and|or|but|than|in|on|at|is|are) what\b(?![^.;:]*\?)/i, 'name the thing'],
	[/\b(?:of|to|by|for|from|with|and|or|but|than) who(?:ever)?\b(?![^.;:]*\?)/i, 'name the actor'],
	[/\b(?:that|those|one|ones) of which\b|\bthat which\b/i, 'name the thing'],
	[
		/\b(?:is|are|was|were) (?:the |a |an |its |no )?[\w-]+(?:'s|s'|’s)(?=\s*[.,;:)]|$)/i,
		'write "belongs to"',
	],
];

/** Comments of TypeScript and C; adjacent `//` lines are one. Strings contain none. */
export function commentsOf(source: string): Prose[] {
	const token =
		/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[\s\S])*`|\/\*[\s\S]*?\*\/|(?:[ \t]*\/\/[^\n]*\n?)+/g;
	return [...source.matchAll(token)].flatMap(({ 0: text, index }) =>
		/^\s*\/[*/]/.test(text)
			? [{ line: lineAt(source, index + text.length - text.trimStart().length), text: uncommented(text) }]
			: [],
	);
}

const lineAt = (source: string, index: number): number => source.slice(0, index).split('\n').length;

const uncommented = (text: string): string =>
	text
		.split('\n')
		.map((line) =>
			line
				.trim()
				.replace(/^(?:\/\*+|\*+\/|\*+|\/\/+)\s?/, '')
				.replace(/\s*\*\/$/, ''),
		)
		.join('\n')
		.trim();

/** Strings of three words and more: what people read. */
export function messagesOf(source: string): Prose[] {
	const literal =
		/'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\[\s\S])*)`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;
	return [...source.matchAll(literal)].flatMap((match) => {
		const text = (match[1] ?? match[2] ?? match[3] ?? '').replaceAll(/\$\{[^}]*\}/g, 'X');
		return /^\S+(?: \S+){2,}/.test(text) && !/^import |=>|;$/.test(text)
			? [{ line: lineAt(source, match.index), text }]
			: [];
	});
}

/** Paragraphs of Markdown, without code. */
export function paragraphsOf(source: string): Prose[] {
	const text = source
		.replace(/^(```|~~~)[\s\S]*?^\1/gm, (block) => block.replaceAll(/[^\n]/g, ''))
		.replaceAll(/`[^`\n]*`/g, (code) => 'x'.repeat(code.length));
	return text.split('\n').map((line, i) => ({ line: i + 1, text: line }));
}

/** Problems of a piece of prose, with their remedies. */
export function proseProblems({ line, text }: Prose): string[] {
	const sentence = text.replaceAll(/`[^`]*`/g, 'x').replaceAll(/\s+/g, ' ');
	return RULES.flatMap(([rule, remedy]) => {
		const found = rule.exec(sentence);
		return found ? [`${line}: "${found[0].trim()}": ${remedy}`] : [];
	});
}

/** Lines that are longer than they may be; tables and links of Markdown cannot be broken. */
export function longLines(file: string, source: string): string[] {
	const prose = file.endsWith('.md') ? /^(?!\||.*https?:|.*\]\()/ : /^\s*(?:\/\*|\*(?:[\s/]|$)|\/\/)/;
	return source.split('\n').flatMap((line, i) => {
		const columns = line.replaceAll('\t', ' '.repeat(TAB)).length;
		return columns > COLUMNS && prose.test(line) ? [`${i + 1}: ${columns} columns, ${COLUMNS} at most`] : [];
	});
}

const LISTED = ['ls-files', '--cached', '--others', '--exclude-standard'];
/** Files written by programs, and files of others. */
const NOT_OURS =
	/^test\/manifests\/|^docs\/(?:semantics|networks|kernels)\.md$|agent\/abi\/layout\.ts$|\/vectors\/|CHANGELOG/;

export function problemsOfFile(file: string, source: string): string[] {
	const pieces = file.endsWith('.md')
		? paragraphsOf(source)
		: [...commentsOf(source), ...(file.startsWith('test/') ? [] : messagesOf(source))];
	return [...pieces.flatMap(proseProblems), ...longLines(file, source)].map(
		(problem) => `${file}:${problem}`,
	);
}

/** One line a problem: file:line: what, and the remedy. @param folders only these */
export function allProseProblems(root: string, folders: readonly string[] = []): string[] {
	const listed = execFileSync('git', [...LISTED, '--', ...folders], {
		cwd: root,
		encoding: 'utf8',
	});
	const files = listed.split('\n').filter((file) => /\.(?:ts|c|h|md)$/.test(file) && !NOT_OURS.test(file));
	// Git lists a file also after its deletion, until the commit.
	const present = files.filter((file) => existsSync(join(root, file)));
	return present.flatMap((file) => problemsOfFile(file, readFileSync(join(root, file), 'utf8')));
}

if (import.meta.main) {
	const problems = allProseProblems(join(import.meta.dirname, '../..'), process.argv.slice(2));
	for (const problem of problems) console.log(problem);
	console.log(`${problems.length} problems`);
}
