/** Programs that users of the machine run. */
import { spawn } from 'node:child_process';

/** The user who owns nothing. */
export const OTHER = 65_534;

/** Runs sh. @returns its status. */
export function asUser(id: number, command: string): Promise<number> {
	return new Promise((resolve, reject) => {
		const child = spawn('sh', ['-c', command], { uid: id, gid: id, cwd: '/', stdio: 'ignore' });
		child.on('error', reject);
		child.on('close', (code) => resolve(code ?? -1));
	});
}

export const asOther = (command: string): Promise<number> => asUser(OTHER, command);
