import { once } from 'node:events';
import http from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { boundedServer } from '../../agent/http/connections.ts';

const MOST = 8;

describe('boundedServer()', () => {
	let server: http.Server;
	let port: number;
	let sockets: Socket[];

	beforeEach(async () => {
		sockets = [];
		server = boundedServer((_request, response) => response.end('ok'), MOST);
		server.listen(0, '127.0.0.1');
		await once(server, 'listening');
		port = (server.address() as AddressInfo).port;
	});

	afterEach(async () => {
		for (const socket of sockets) socket.destroy();
		server.closeAllConnections();
		await new Promise((resolve) => server.close(resolve));
	});

	async function hold(count: number): Promise<void> {
		for (let i = 0; i < count; i++) {
			const socket = connect(port, '127.0.0.1').on('error', () => {});
			sockets.push(socket);
			await once(socket, 'connect');
			socket.resume();
		}
	}

	const held = (): number => sockets.filter(({ closed }) => !closed).length;
	const probe = async (): Promise<string> => {
		const answer = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) });
		return answer.text();
	};

	it('answers who comes while others hold all connections', async () => {
		await hold(MOST);
		expect(await probe()).toBe('ok');
		await hold(2 * MOST);
		expect(await probe()).toBe('ok');
		await vi.waitFor(() => expect(held()).toBeLessThanOrEqual(MOST));
	});

	it('closes who asked nothing for longest, not who asks again and again', async () => {
		const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
		const ask = (): Promise<boolean> =>
			new Promise((done, fail) => {
				const request = http.get({ port, host: '127.0.0.1', agent }, (response) => {
					response.resume().once('end', () => done(request.reusedSocket));
				});
				request.once('error', fail);
			});
		expect(await ask()).toBe(false);
		for (let i = 0; i < 3; i++) {
			await hold(MOST - 1);
			expect(await ask()).toBe(true);
		}
		agent.destroy();
	});

	it('closes within seconds who sends no request, or half of one', async () => {
		await hold(2);
		sockets[1]!.write('GET / HTTP/1.1\r\nHost: x\r\n');
		await vi.waitFor(() => expect(held()).toBe(0), { timeout: 9_000, interval: 100 });
	});
});
