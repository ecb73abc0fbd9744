import { execFile } from 'node:child_process';

/**
 * @returns stdout
 * @throws Error with stderr when the status is not 0
 */
export function run(program: string, args: readonly string[], input?: string): Promise<string> {
	return new Promise((resolve, reject) => {
		const child = execFile(program, args, { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
			if (error)
				reject(
					new Error(`${program} ${args.join(' ')}: ${stderr.trim() || error.message}`, { cause: error }),
				);
			else resolve(stdout);
		});
		child.stdin?.on('error', () => {}); // the exit status reports the failure
		child.stdin?.end(input);
	});
}
