/**
 * Opens a dataplane in the network namespace of this process. Argument: DataplaneOptions as JSON.
 * It writes its status as a line of JSON when it is open, and again for each line that it reads.
 * The line `filled` reports that the maps are filled. A line that begins with `[` holds the
 * addresses of the node.
 */
import { createInterface } from 'node:readline';
import pino from 'pino';
import { type DataplaneOptions, openDataplane } from '../../agent/bpf/dataplane.ts';

const options = JSON.parse(process.argv[2]!) as DataplaneOptions;
const log = pino({ level: 'warn' }, pino.destination({ fd: 2, sync: true }));
const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

try {
	const dataplane = await openDataplane(options, log);
	say(dataplane.status());
	for await (const line of createInterface({ input: process.stdin })) {
		if (line.startsWith('[')) dataplane.setNodeAddresses(JSON.parse(line) as string[]);
		if (line === 'filled') dataplane.filled();
		say(dataplane.status());
	}
	dataplane.close();
} catch (error) {
	say({ error: (error as Error).message });
	process.exitCode = 1;
}
