import { createServer } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { HealthCheckNodePorts } from '../../agent/http/health-check-node-port.ts';
import { silent } from '../support/log.ts';

/** A port that no process listened on a moment ago. */
async function freePort(): Promise<number> {
	const server = createServer();
	await new Promise<void>((resolve) => server.listen(0, resolve));
	const address = server.address();
	await new Promise((resolve) => server.close(resolve));
	return typeof address === 'object' && address ? address.port : 0;
}

describe('HealthCheckNodePorts', () => {
	const log: string[] = [];
	let healthy = true;
	const tell = (_fields: object, event: string): void => void log.push(event);
	const refused: string[] = [];
	const servers = new HealthCheckNodePorts(
		() => healthy,
		{ ...silent, info: tell, warn: tell },
		({ service, port }, error) => refused.push(`${service} ${port} ${error.message}`),
	);
	const get = (port: number, path = '/'): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`);

	afterEach(() => {
		servers.close();
		healthy = true;
		log.length = 0;
		refused.length = 0;
	});

	it('answers any path with the local endpoints and their weight (B-60, B R-11)', async () => {
		const port = await freePort();
		servers.update([{ service: 'default/web', port, localEndpoints: 2 }]);
		const answer = await vi.waitFor(() => get(port, '/any/path'));
		expect(answer.status).toBe(200);
		expect(answer.headers.get('content-type')).toBe('application/json');
		expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
		expect(answer.headers.get('x-load-balancing-endpoint-weight')).toBe('2');
		expect(await answer.json()).toEqual({
			service: { namespace: 'default', name: 'web' },
			localEndpoints: 2,
			serviceProxyHealthy: true,
		});
	});

	it('is 503 without a local endpoint, and while the agent does not keep up (B-60, B R-11)', async () => {
		const port = await freePort();
		const web = { service: 'default/web', port };
		servers.update([{ ...web, localEndpoints: 0 }]);
		const none = await vi.waitFor(() => get(port));
		expect([none.status, none.headers.get('x-load-balancing-endpoint-weight')]).toEqual([503, '0']);
		expect(await none.json()).toMatchObject({ localEndpoints: 0, serviceProxyHealthy: true });
		servers.update([{ ...web, localEndpoints: 1 }]);
		expect((await get(port)).status).toBe(200);
		healthy = false;
		const answer = await get(port);
		expect([answer.status, await answer.json()]).toMatchObject([503, { serviceProxyHealthy: false }]);
	});

	it('stops serving a port that no Service has', async () => {
		const port = await freePort();
		servers.update([{ service: 'default/web', port, localEndpoints: 1 }]);
		await vi.waitFor(() => get(port));
		servers.update([]);
		expect(servers.ports).toEqual([]);
		await expect(get(port)).rejects.toThrow();
	});

	it('listens at the addresses that it is given only, and follows them', async () => {
		const port = await freePort();
		const wanted = [{ service: 'default/web', port, localEndpoints: 1 }];
		const at = (host: string) => fetch(`http://${host}:${port}/`).then(({ status }) => status);
		servers.update(wanted, ['127.0.0.2', '127.0.0.3']);
		expect(await vi.waitFor(() => at('127.0.0.2'))).toBe(200);
		expect(await vi.waitFor(() => at('127.0.0.3'))).toBe(200);
		await expect(at('127.0.0.1')).rejects.toThrow();
		servers.update(wanted, ['127.0.0.1']);
		expect(await vi.waitFor(() => at('127.0.0.1'))).toBe(200);
		await expect(at('127.0.0.2')).rejects.toThrow();
		servers.update(wanted);
		expect(await vi.waitFor(() => at('127.0.0.3'))).toBe(200);
	});

	it('tells once of a port that is taken and has it when it becomes free', async () => {
		const blocker = createServer();
		await new Promise<void>((resolve) => blocker.listen(0, resolve));
		const { port } = blocker.address() as { port: number };
		const wanted = [{ service: 'default/web', port, localEndpoints: 1 }];
		servers.update(wanted);
		await vi.waitFor(() => expect(log).toEqual(['health-check-node-port.failed']));
		servers.update(wanted);
		await vi.waitFor(() => expect(servers.ports).toEqual([]));
		expect(servers.incomplete).toBe(true);
		expect(refused).toEqual([expect.stringMatching(`default/web ${port} listen EADDRINUSE`)]);
		await new Promise((resolve) => blocker.close(resolve));
		servers.update(wanted);
		await vi.waitFor(() => get(port));
		expect(log).toEqual(['health-check-node-port.failed', 'health-check-node-port.listening']);
		expect(servers.incomplete).toBe(false);
	});
});
