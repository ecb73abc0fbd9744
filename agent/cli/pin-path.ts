import { Option } from 'commander';
import { type CliContext, EXIT, ExitError, type PinnedMaps } from './context.ts';

export const pinPathOption = (): Option =>
	new Option('--pin-path <dir>', 'bpffs directory of maps and links')
		.env('MAGLANE_PIN_PATH')
		.default('/sys/fs/bpf/maglane');

/** Opens the pinned maps while `read` runs. @throws ExitError when there are none */
export async function withPins<T>(
	context: CliContext,
	pinPath: string,
	read: (maps: PinnedMaps) => T | Promise<T>,
): Promise<T> {
	let maps: PinnedMaps;
	try {
		maps = await context.openPins(pinPath);
	} catch (cause) {
		throw new ExitError(
			`Cannot open the maps under ${pinPath}: has an agent run on this node, and is --pin-path its own?`,
			EXIT.error,
			{ cause },
		);
	}
	using opened = maps;
	return await read(opened);
}
