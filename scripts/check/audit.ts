/** Known vulnerabilities of the run-time packages, as the npm registry reports them. */
import { execFile } from 'node:child_process';

const LEVELS = ['high', 'critical'];
const TIMEOUT_MS = 30_000;

export interface AuditResult {
	readonly problems: readonly string[];
	/** Set when the registry sent no report. */
	readonly skipped?: string;
}

/** Reads the output of `npm audit --json`. */
export function auditResult(output: string): AuditResult {
	const report = parse(output);
	if (!report?.vulnerabilities) return { problems: [], skipped: 'the npm registry sent no report' };
	const problems = Object.entries(report.vulnerabilities)
		.filter(([, { severity }]) => LEVELS.includes(severity))
		.map(([name, { severity, range }]) => `${name} ${range}: ${severity}; see npm audit --omit=dev`);
	return { problems };
}

interface Report {
	readonly vulnerabilities?: Readonly<Record<string, { severity: string; range: string }>>;
}

function parse(output: string): Report | undefined {
	try {
		return JSON.parse(output) ?? undefined;
	} catch {
		return undefined;
	}
}

/** Skipped if the registry serves no audits, as many mirrors, and offline. */
export function auditProblems(root: string): Promise<AuditResult> {
	const args = ['audit', '--json', '--omit=dev', '--audit-level=high', '--fetch-retries=0'];
	return new Promise((done) => {
		// npm exits with 1 for a vulnerability and for a failure: only the output differs
		execFile('npm', args, { cwd: root, timeout: TIMEOUT_MS, maxBuffer: 1 << 26 }, (_error, stdout) =>
			done(auditResult(stdout)),
		);
	});
}
