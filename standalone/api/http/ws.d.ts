/** Types for the used part of the package ws, which has none. */
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
		});
		/** Emits the lines of a handshake response before it is sent. */
		on(event: 'headers', listener: (lines: string[], request: IncomingMessage) => void): this;
		handleUpgrade(
			request: IncomingMessage,
			socket: Duplex,
			head: Buffer,
			done: (socket: WebSocket) => void,
		): void;
	}
}
