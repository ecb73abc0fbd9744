import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** Lines of tcpdump with link-level headers, as they come. */
export interface Capture {
	readonly lines: readonly string[];
	stop(): Promise<void>;
}

/** Captures in a network namespace until stopped. Resolves when it listens. */
export async function capture(netns: string, device: string, filter: string): Promise<Capture> {
	const args = [`--net=/run/netns/${netns}`, 'tcpdump', '-l', '-e', '-nn', '--immediate-mode', '-i', device];
	const child = spawn('nsenter', [...args, filter], { stdio: ['ignore', 'pipe', 'pipe'] });
	const lines: string[] = [];
	createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
	await new Promise<void>((resolve, reject) => {
		createInterface({ input: child.stderr }).on('line', (line) => {
			if (line.includes('listening on')) resolve();
		});
		child.once('error', reject);
		child.once('exit', (code) => reject(new Error(`tcpdump ended with status ${code}`)));
	});
	const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
	return {
		lines,
		async stop() {
			// What is in the kernel's buffer is printed first
			await sleep(50);
			child.kill('SIGINT');
			await ended;
		},
	};
}
