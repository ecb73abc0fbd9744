/**
 * A process with connected sockets, given as JSON. Each asks every 100 ms; what is answered, when it differs, and
 * errors are written as lines of JSON. After an error the next socket is connected to the same address.
 */
import dgram from 'node:dgram';
import net from 'node:net';

export interface Wanted {
	readonly name: string;
	readonly kind: 'tcp' | 'udp4' | 'udp6';
	readonly address: string;
	readonly port: number;
}

const ASK_MS = 100;

function tell(name: string, told: { answer?: string; error?: string }): void {
	process.stdout.write(`${JSON.stringify({ name, ...told, at: Date.now() })}\n`);
}

function keep(wanted: Wanted): void {
	let last = '';
	const answered = (data: Buffer): void => {
		const answer = data.toString().split('\n')[0]!;
		if (answer !== last) tell(wanted.name, { answer });
		last = answer;
	};
	const failed = (error: NodeJS.ErrnoException): void => {
		tell(wanted.name, { error: error.code ?? error.message });
		setTimeout(() => keep(wanted), ASK_MS);
	};
	if (wanted.kind === 'tcp') keepTcp(wanted, answered, failed);
	else keepUdp(wanted.kind, wanted, answered, failed);
}

type Failed = (error: NodeJS.ErrnoException) => void;

function keepTcp({ address, port }: Wanted, answered: (data: Buffer) => void, failed: Failed): void {
	const socket = net.connect({ host: address, port });
	const timer = setInterval(() => socket.write('?'), ASK_MS);
	socket.on('data', answered);
	socket.once('error', failed);
	socket.once('close', () => clearInterval(timer));
}

function keepUdp(
	kind: 'udp4' | 'udp6',
	{ address, port }: Wanted,
	answered: (data: Buffer) => void,
	failed: Failed,
): void {
	const socket = dgram.createSocket(kind);
	let timer: NodeJS.Timeout | undefined;
	const end: Failed = (error) => {
		clearInterval(timer);
		socket.removeAllListeners('error').on('error', () => {});
		socket.close();
		failed(error);
	};
	socket.on('message', answered);
	socket.once('error', end);
	socket.connect(port, address, (error?: Error) => {
		if (error) return end(error);
		timer = setInterval(() => socket.send('?', () => {}), ASK_MS);
	});
}

for (const wanted of JSON.parse(process.argv[2] ?? '[]') as Wanted[]) keep(wanted);
