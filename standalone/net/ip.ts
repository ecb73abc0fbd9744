/** Runs `ip` commands in batches, to save processes: a pod's network takes two. */
import { spawn } from 'node:child_process';

/**
 * Runs commands of ip(8) in a namespace, in order. Stops at the first failure.
 * @throws Error naming the failed command, with the message of `ip`.
 */
export async function ipBatch(netns: string, commands: readonly string[]): Promise<void> {
	const child = spawn('ip', ['-n', netns, '-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
	const errors: Buffer[] = [];
	child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
	child.stdin.on('error', () => {}); // the exit status reports an early exit
	child.stdin.end(`${commands.join('\n')}\n`);
	const status = await exitOf(child);
	if (status === 0) return;
	const said = Buffer.concat(errors).toString().trim();
	const line = Number(/Command failed -:(\d+)/.exec(said)?.[1] ?? 0);
	const command = commands[line - 1] ?? `a batch of ${commands.length} commands`;
	throw new Error(`Cannot run "ip ${command}" in ${netns}: ${said.split('\n')[0] || `status ${status}`}`);
}

/** Runs a show command of ip(8) in a namespace. @returns its JSON output. */
export async function ipJson(netns: string, command: readonly string[]): Promise<unknown> {
	const text = await run('ip', ['-j', '-n', netns, ...command]);
	return text.trim() === '' ? [] : JSON.parse(text);
}

/** Runs a program until it ends. @throws Error with its error output if the status is not 0. */
export async function run(program: string, args: readonly string[]): Promise<string> {
	const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
	const output: Buffer[] = [];
	const errors: Buffer[] = [];
	child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
	child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
	const status = await exitOf(child);
	if (status === 0) return Buffer.concat(output).toString();
	const said = Buffer.concat(errors).toString().trim();
	throw new Error(`Cannot run "${program} ${args.join(' ')}": ${said || `status ${status}`}`);
}

function exitOf(child: ReturnType<typeof spawn>): Promise<number | string> {
	return new Promise((resolve, reject) => {
		child.once('error', reject);
		child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
	});
}
