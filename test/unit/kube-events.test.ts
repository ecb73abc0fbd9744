import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { eventWriter } from '../../agent/kube/events.ts';
import { openTransport, type Transport } from '../../agent/kube/transport.ts';

let server: http.Server;
let transport: Transport;
let requests: { line: string; body: unknown }[];
let status: number;

beforeEach(async () => {
	requests = [];
	status = 201;
	server = http.createServer(async (request, response) => {
		const chunks = await request.toArray();
		requests.push({
			line: `${request.method} ${request.url} ${request.headers['content-type']}`,
			body: JSON.parse(Buffer.concat(chunks).toString()),
		});
		response.writeHead(status).end('{}');
	});
	await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
	const { port } = server.address() as AddressInfo;
	transport = openTransport({ server: new URL(`http://127.0.0.1:${port}`), options: async () => ({}) });
});

afterEach(() => {
	transport.close();
	server.close();
});

const EVENT = { service: 'ns/web', reason: 'Failed', action: 'Listen', message: 'no port' };
const writer = (signal: AbortSignal, warn = vi.fn()) => ({
	warn,
	tell: eventWriter({
		transport,
		nodeName: 'node1',
		log: { warn },
		now: () => Date.UTC(2026, 0, 1),
		signal,
	}),
});

test('an event is a warning about the Service, in its namespace', async () => {
	const { tell, warn } = writer(new AbortController().signal);
	tell(EVENT);
	await vi.waitFor(() => expect(requests).toHaveLength(1));
	expect(requests[0]?.line).toBe('POST /api/v1/namespaces/ns/events application/json');
	expect(requests[0]?.body).toMatchObject({
		kind: 'Event',
		metadata: { namespace: 'ns', generateName: 'web.' },
		involvedObject: { kind: 'Service', namespace: 'ns', name: 'web' },
		type: 'Warning',
		reason: 'Failed',
		message: 'no port',
		firstTimestamp: '2026-01-01T00:00:00Z',
		source: { component: 'maglane', host: 'node1' },
	});
	expect(warn).not.toHaveBeenCalled();
});

test('an event that is refused is in the log, and nothing else comes of it', async () => {
	status = 403;
	const { tell, warn } = writer(new AbortController().signal);
	tell(EVENT);
	await vi.waitFor(() => expect(warn).toHaveBeenCalledOnce());
	expect(warn.mock.calls[0]).toMatchObject([{ service: 'ns/web', reason: 'Failed' }, 'event.lost']);
	expect(warn.mock.calls[0]![0].err.message).toContain('was answered with 403');
});

test('an event at the end is nobody’s loss', async () => {
	const { tell, warn } = writer(AbortSignal.abort());
	tell(EVENT);
	await new Promise(setImmediate);
	expect(warn).not.toHaveBeenCalled();
	expect(requests).toEqual([]);
});
