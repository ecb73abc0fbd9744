import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { ipBatch } from '../../standalone/net/ip.ts';
import { PodServer } from '../../standalone/podserver/client.ts';
import type { PodSpec, PortSpec } from '../../standalone/podserver/messages.ts';

const execute = promisify(execFile);
const prefix = 'mlnpod';
const switcher = new NetnsSwitcher();
const restarts: string[] = [];
const server = new PodServer({ onRestart: (status) => restarts.push(status) });
const nets = [`${prefix}-a`, `${prefix}-b`] as const;

const tcp = (port: number): PortSpec => ({ protocol: 'TCP', port, container: 'c' });
const udp = (port: number): PortSpec => ({ protocol: 'UDP', port, container: 'c' });
const podOf = (id: string, netns: string, ports: PortSpec[]): PodSpec => ({
	id,
	netns,
	hostname: `pod-${id}`,
	behaviour: 'netexec',
	terminating: false,
	logs: {},
	ports,
});

const get = (netns: string, port: number, path: string, address = '127.0.0.1') =>
	new Promise<string>((resolve, reject) => {
		const call = request(
			{ path, createConnection: () => switcher.connectTcp(netns, address, port), headers: { host: 'x' } },
			(response) => {
				let body = '';
				response.on('data', (chunk) => (body += chunk));
				response.on('end', () => resolve(body));
			},
		);
		call.on('error', reject);
		call.end();
	});

const raw = (socket: Socket, text: string) =>
	new Promise<string>((resolve, reject) => {
		socket.once('data', (data) => resolve(data.toString()));
		socket.once('error', reject);
		socket.write(text);
	});

const askUdp = (netns: string, port: number, text: string, address: string) =>
	new Promise<string>((resolve, reject) => {
		const socket = createSocket({ type: 'udp6', lookup: (name, _o, done) => done(null, name, 6) });
		const timer = setTimeout(() => reject(new Error('no answer')), 2000);
		socket.on('message', (data) => {
			clearTimeout(timer);
			socket.close();
			resolve(data.toString());
		});
		socket.bind({ fd: switcher.bindUdp(netns, 0) }, () => socket.send(text, port, address));
	});

beforeAll(async () => {
	for (const netns of nets) {
		switcher.create(netns);
		await ipBatch(netns, ['link set lo up']);
	}
});
afterEach(async () => {
	for (const id of ['1', '2', '3']) await server.stop(id);
});
afterAll(() => {
	server[Symbol.dispose]();
	for (const name of readdirSync('/run/netns')) if (name.startsWith(`${prefix}-`)) switcher.remove(name);
});

test('PodServer.serve() answers HTTP and UDP in both families, each pod in its own namespace', async () => {
	expect(await server.serve(podOf('1', nets[0], [tcp(80), udp(80)]))).toEqual([]);
	expect(await server.serve(podOf('2', nets[1], [tcp(80), udp(80)]))).toEqual([]);
	for (const [id, netns] of [
		['1', nets[0]],
		['2', nets[1]],
	] as const) {
		expect(await get(netns, 80, '/hostname')).toBe(`pod-${id}`);
		expect(await get(netns, 80, '/hostname', '::1')).toBe(`pod-${id}`);
		expect(await askUdp(netns, 80, 'hostname', '::1')).toBe(`pod-${id}`);
		expect(await askUdp(netns, 80, 'hostname', '::ffff:127.0.0.1')).toBe(`pod-${id}`);
	}
	expect(await get(nets[0], 80, '/clientip')).toMatch(/^127\.0\.0\.1:\d+$/);
	expect(await get(nets[0], 80, '/clientip', '::1')).toMatch(/^\[::1\]:\d+$/);
	expect(await askUdp(nets[0], 80, 'clientip', '::ffff:127.0.0.1')).toMatch(/^127\.0\.0\.1:\d+$/);
});

test('PodServer.serve() understands curl, keep-alive and large requests', async () => {
	await server.serve(podOf('1', nets[0], [tcp(8080)]));
	const big = '42'.repeat(1000);
	const args = [`--net=/run/netns/${nets[0]}`, 'curl', '-sS', '-w', ' %{num_connects}'];
	const { stdout } = await execute('nsenter', [
		...args,
		`http://127.0.0.1:8080/echo?msg=${big}`,
		'http://127.0.0.1:8080/hostname',
	]);
	expect(stdout).toBe(`${big} 1pod-1 0`);
});

test('PodServer.serve() keeps connections that do not speak HTTP, and answers lines', async () => {
	await server.serve(podOf('1', nets[0], [tcp(6379)]));
	const socket = switcher.connectTcp(nets[0], '127.0.0.1', 6379);
	socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
	expect(await raw(socket, 'echo still here\n')).toBe('still here\n');
	socket.destroy();
});

test('PodServer.serve() again opens and closes ports, and leaves the others open', async () => {
	await server.serve(podOf('1', nets[0], [tcp(1000), tcp(1001)]));
	const kept = switcher.connectTcp(nets[0], '127.0.0.1', 1001);
	expect(await raw(kept, 'hostname\n')).toBe('pod-1\n');
	await server.serve(podOf('1', nets[0], [tcp(1001), tcp(1002)]));
	await expect(get(nets[0], 1000, '/')).rejects.toThrow(/ECONNREFUSED/);
	expect(await get(nets[0], 1002, '/hostname')).toBe('pod-1');
	expect(await raw(kept, 'hostname\n')).toBe('pod-1\n');
	kept.destroy();
});

test('PodServer.serve() names a port that is in use, and opens the others', async () => {
	await server.serve(podOf('1', nets[0], [tcp(2000), udp(2000)]));
	const failures = await server.serve(podOf('2', nets[0], [tcp(2000), udp(2000), tcp(2001)]));
	expect(failures.map(({ protocol, port }) => `${protocol}/${port}`)).toEqual(['TCP/2000', 'UDP/2000']);
	expect(failures[0]?.reason).toContain('EADDRINUSE');
	expect(await get(nets[0], 2001, '/hostname')).toBe('pod-2');
});

test('PodServer.stop() closes ports and ends connections', async () => {
	await server.serve(podOf('1', nets[0], [tcp(3000)]));
	const socket = switcher.connectTcp(nets[0], '127.0.0.1', 3000);
	expect(await raw(socket, 'hostname\n')).toBe('pod-1\n');
	const ended = new Promise((resolve) => socket.once('close', resolve));
	await server.stop('1');
	await ended;
	await expect(get(nets[0], 3000, '/')).rejects.toThrow(/ECONNREFUSED/);
});

test('PodServer serves every pod again after its process is killed', async () => {
	await server.serve(podOf('1', nets[0], [tcp(4000)]));
	await server.serve(podOf('2', nets[1], [udp(4000)]));
	process.kill(server.pid!, 'SIGKILL');
	await expect.poll(() => get(nets[0], 4000, '/hostname').catch(String), { timeout: 5000 }).toBe('pod-1');
	expect(await askUdp(nets[1], 4000, 'hostname', '::1')).toBe('pod-2');
	expect(restarts).toEqual(['SIGKILL']);
});
