/**
 * Requirements of topologies on the kernel and the machine. Each need returns the reason for a
 * missing one, or undefined.
 */
import { spawnSync } from 'node:child_process';
import { hasCommand, type Need } from '../../../scripts/machine.ts';

/** Runs lines of ip(8) in a new namespace. @returns its error, or undefined */
function refused(lines: readonly string[]): string | undefined {
	const { status, stderr } = spawnSync('unshare', ['--net', 'ip', '-batch', '-'], {
		input: lines.join('\n'),
		encoding: 'utf8',
	});
	return status === 0 ? undefined : stderr.split('\n')[0]!.trim();
}

/** Needs a kind of device. `more` are options of `ip link add`, `lower` adds a lower device. */
export function device(kind: string, more = '', lower = false): Need {
	return () => {
		const link = lower ? 'link low0' : '';
		const below = 'link add low0 type veth peer name low1';
		const why = refused([below, `link add ${link} name probe0 type ${kind} ${more}`]);
		if (why === undefined) return undefined;
		return /Unknown device type|not supported/.test(why) ? `not in this kernel: ${kind}` : `${kind}: ${why}`;
	};
}

export const tool =
	(name: string): Need =>
	() =>
		hasCommand(name) ? undefined : `${name} is not installed`;
