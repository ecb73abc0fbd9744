/** The part of the package ws that is used; it brings no types. */
declare module 'ws' {
	import type { EventEmitter } from 'node:events';
	import type { IncomingMessage } from 'node:http';
	import type { Duplex } from 'node:stream';

	export class WebSocket extends EventEmitter<{
		message: [data: Buffer, binary: boolean];
		close: [code: number];
		error: [error: Error];
	}> {
		readonly protocol: string;
		send(data: Uint8Array, done?: (error?: Error) => void): void;
		close(code?: number, reason?: string): void;
		terminate(): void;
	}

	export class WebSocketServer {
		constructor(options: {
			noServer: true;
			clientTracking: boolean;
			perMessageDeflate: boolean;
			handleProtocols: (protocols: Set<string>) => string | false;
		});
		handleUpgrade(
			request: IncomingMessage,
			socket: Duplex,
			head: Buffer,
			done: (socket: WebSocket) => void,
		): void;
	}
}
