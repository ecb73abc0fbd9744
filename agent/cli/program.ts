import { Command, CommanderError } from 'commander';
import { printableLines } from '../base/printable.ts';
import { redactTokens } from '../base/redact.ts';
import { registerAgent } from './agent.ts';
import { registerCleanup } from './cleanup.ts';
import { registerConn } from './conn.ts';
import { type CliContext, EXIT, ExitError } from './context.ts';
import { registerCounters } from './counters.ts';
import { registerEnv } from './env.ts';
import { registerMountBpffs } from './mount-bpffs.ts';
import { registerService } from './service.ts';
import { registerStatus } from './status.ts';
import { registerVersion } from './version.ts';

/** Commands that are loaded only when they are called, such as the standalone cluster. */
export type LateCommands = Readonly<
	Record<string, { summary: string; load: () => Promise<(p: Command) => void> }>
>;

/**
 * Builds the whole command line. `first` is the first argument: only that late command is loaded.
 */
export async function buildProgram(
	context: CliContext,
	late: LateCommands,
	first: string | undefined,
): Promise<Command> {
	const program = new Command('maglane')
		.description('Kubernetes Services on this node by XDP, TC and cgroup BPF programs')
		.exitOverride()
		.configureOutput({
			writeOut: (text) => void context.stdout.write(text),
			writeErr: (text) => void context.stderr.write(text),
		})
		.addHelpText(
			'after',
			'\nExit codes: 0 ok, 1 error, 2 wrong usage, 3 working but degraded.\nEvery setting of the agent can be given as MAGLANE_<NAME> too.',
		);
	registerAgent(program, context);
	registerStatus(program, context);
	registerService(program, context);
	registerConn(program, context);
	registerCounters(program, context);
	registerEnv(program, context);
	registerCleanup(program, context);
	registerMountBpffs(program, context);
	registerVersion(program, context);
	for (const [name, { summary, load }] of Object.entries(late)) {
		if (name === first) (await load())(program);
		else program.command(name).summary(summary).description(summary);
	}
	return program;
}

/** Runs one command line and reports errors on stderr. @returns the exit code */
export async function runCli(
	context: CliContext,
	late: LateCommands,
	args: readonly string[],
): Promise<number> {
	try {
		const program = await buildProgram(context, late, args[0]);
		await program.parseAsync([...args], { from: 'user' });
		return EXIT.ok;
	} catch (error) {
		return report(context, error);
	}
}

function report(context: CliContext, error: unknown): number {
	// commander has written its own message
	if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
	if (error instanceof ExitError && error.message === '') return error.code;
	context.stderr.write(`maglane: ${printableLines(redactTokens(messages(error)))}\n`);
	if (error instanceof ExitError) return error.code;
	return error instanceof Error && error.name === 'ConfigError' ? EXIT.usage : EXIT.error;
}

/** An error's message and those of its causes, one per line. */
function messages(error: unknown): string {
	const lines: string[] = [];
	for (let e: unknown = error; e !== undefined && lines.length < 5; ) {
		lines.push(e instanceof Error ? e.message : String(e));
		e = e instanceof Error ? e.cause : undefined;
	}
	return lines.join('\n  because: ');
}
