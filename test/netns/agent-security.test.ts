/** Tests the access of another user of the node, a pod and a web page to a running agent. */
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { FakeApiServer, list, raw } from '../unit/kube-fake-server.ts';
import { AgentNode, type RunningAgent } from './agent-node.ts';

const NOBODY = 65_534;
const API_PORT = 6443;
const O_CLOEXEC = 0o2000000;
const O_ACCMODE = 3;
const METRICS = 'http://127.0.0.1:10249';
const HEALTH = 10_256;

describe('a running agent', () => {
	let node: AgentNode;
	let api: FakeApiServer;
	let agent: RunningAgent;
	let cache: string;
	const held: Socket[] = [];

	/**
	 * Runs a program as another user in the network namespace of the node.
	 * @returns its output, or `status <code>`
	 */
	async function asNobody(...argv: string[]): Promise<string> {
		const as = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--inh-caps=-all'];
		const { code, out } = await node.run(...as, ...argv);
		return code === 0 ? out : `status ${code}`;
	}

	/** @returns the status of a response, and the headers that let another site read it */
	async function ask(url: string, ...options: string[]): Promise<string> {
		const out = await asNobody('curl', '-s', '-i', '--max-time', '3', ...options, url);
		const cors = out.match(/^access-control-.*$/gim) ?? [];
		return [/^HTTP\/1\.1 (\d+)/.exec(out)?.[1] ?? out, ...cors].join(' ');
	}

	function start(): RunningAgent {
		return node.startAgent(`--api-server=http://127.0.0.1:${API_PORT}`, `--bpf-cache=${cache}`);
	}

	async function ready(): Promise<void> {
		await vi.waitFor(
			async () => {
				if (agent.child.exitCode !== null) throw new Error((await agent.ended).err);
				expect(await ask(`http://127.0.0.1:${HEALTH}/readyz`)).toBe('200');
			},
			{ timeout: 40_000, interval: 200 },
		);
	}

	/** Open files of the agent, with the flags of open(2). The agent may close one meanwhile. */
	function files(): { target: string; flags: number }[] {
		const proc = `/proc/${agent.child.pid}`;
		return readdirSync(`${proc}/fd`).flatMap((fd) => {
			try {
				const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`${proc}/fdinfo/${fd}`, 'utf8'))![1]!;
				return { target: readlinkSync(`${proc}/fd/${fd}`), flags: Number.parseInt(flags, 8) };
			} catch (error) {
				if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
				throw error;
			}
		});
	}

	beforeAll(async () => {
		node = new AgentNode('mlsec');
		cache = mkdtempSync(join(tmpdir(), 'mlsec-cache-'));
		api = new FakeApiServer();
		api.always('/apis/discovery.k8s.io/v1', raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })));
		const metadata = { name: 'node1', uid: 'n', resourceVersion: '1' };
		const addresses = [{ type: 'InternalIP', address: node.nodeAddress }];
		api.always('/api/v1/nodes', list('1', [{ metadata, status: { addresses } }]));
		for (const path of ['/api/v1/services', '/apis/discovery.k8s.io/v1/endpointslices'])
			api.always(path, list('1', []));
		await api.listen(node.listenOnNode(API_PORT));
		agent = start();
		await ready();
	});

	afterAll(async () => {
		for (const socket of held) socket.destroy();
		await node?.close();
		await api?.close();
		if (cache) rmSync(cache, { recursive: true, force: true });
	});

	it('listens for health and metrics, in both families, and at no other socket', async () => {
		const { out } = await node.run('ss', '-Hlntuxp');
		const mine = out.split('\n').filter((line) => line.includes(`pid=${agent.child.pid},`));
		const places = mine.map((line) => line.trim().split(/\s+/)).map((cells) => `${cells[0]} ${cells[4]}`);
		expect(places.sort()).toEqual(['tcp *:10256', 'tcp 127.0.0.1:10249', 'tcp [::1]:10249']);
	});

	it('keeps no file open to write that has a name, and hands no file but its output to programs it starts', () => {
		const named = files().filter(({ target }) => target.startsWith('/') && !target.startsWith('/dev/'));
		expect(named.filter(({ flags }) => (flags & O_ACCMODE) !== 0)).toEqual([]);
		const lock = named.filter(({ target }) => target === node.pinned);
		expect(lock.map(({ flags }) => flags & O_CLOEXEC)).toEqual([O_CLOEXEC]);
		const inherited = files().filter(({ flags }) => (flags & O_CLOEXEC) === 0);
		expect(inherited.filter(({ target }) => !/^(pipe:|\/dev\/null$)/.test(target))).toEqual([]);
	});

	it('tells a page of another site nothing', async () => {
		const evil = ['-H', 'Origin: http://evil.example'];
		for (const path of ['/metrics', '/statusz', '/proxyMode']) {
			expect(await ask(METRICS + path, '-H', 'Host: evil.example:10249', ...evil)).toBe('403');
			expect(await ask(METRICS + path, ...evil)).toBe('200');
		}
		expect(await ask(`${METRICS}/metrics`, '-H', 'Host: localhost:10249')).toBe('200');
	});

	it('refuses every method that could change something', async () => {
		for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])
			for (const url of [`${METRICS}/metrics`, `http://127.0.0.1:${HEALTH}/livez`])
				expect(await ask(url, '-X', method)).toBe('405');
	});

	it('answers health checks by any name', async () => {
		for (const path of ['/healthz', '/livez', '/readyz'])
			expect(await ask(`http://${node.nodeAddress}:${HEALTH}${path}`, '-H', 'Host: lb.example')).toBe('200');
	});

	it('lets no pod keep the kubelet out by holding connections', async () => {
		for (let i = 0; i < 400; i++) {
			const socket = node.switcher.connectTcp(node.pod, node.nodeAddress, HEALTH).on('error', () => {});
			held.push(socket);
			await once(socket.resume(), 'connect');
		}
		expect(await ask(`http://127.0.0.1:${HEALTH}/livez`)).toBe('200');
		expect(files().filter(({ target }) => target.startsWith('socket:')).length).toBeLessThan(300);
	});

	it('has maps and links that another user cannot open, by path or by id', async () => {
		const native = resolve(import.meta.dirname, '../../agent/bpf/ffi/native.ts');
		const names = readdirSync(node.pinned);
		expect(names.length).toBeGreaterThan(15);
		const program = `
			const { openNative } = await import(${JSON.stringify(native)});
			const { call } = openNative('koffi');
			const open = () => ${JSON.stringify(names)}.map((name) => call.bpf_obj_get('${node.pinned}/' + name));
			const byRoot = open().filter((fd) => fd < 0);
			process.setgroups([]);
			process.setgid(${NOBODY});
			process.setuid(${NOBODY});
			console.log(JSON.stringify([byRoot, [...new Set(open())]]));`;
		const { out } = await node.run(process.execPath, '--input-type=module', '-e', program);
		const EACCES = 13;
		expect(JSON.parse(out)).toEqual([[], [-EACCES]]);
		for (const kind of ['map', 'prog', 'link'])
			expect(await asNobody('bpftool', kind, 'show')).toMatch(/^status /);
	});

	it('is not mistaken for maps that another user has put somewhere', async () => {
		const evil = join(dirname(node.pins), 'evil');
		mkdirSync(join(evil, basename(node.pinned)), { recursive: true });
		chownSync(evil, NOBODY, NOBODY);
		const { code, err } = await node.maglane('status', `--pin-path=${evil}`);
		expect([code, err]).toEqual([
			1,
			expect.stringContaining(
				`Cannot read the maps in ${evil}/${basename(node.pinned)}: ${evil} belongs to user ${NOBODY}`,
			),
		]);
	});

	it('lets the next agent in when it was killed, and none before', async () => {
		const lock = node.pinned;
		expect(await asNobody('flock', '-n', lock, 'true')).toMatch(/^status /);
		expect((await node.run('flock', '-n', lock, 'true')).code).toBe(1);
		agent.child.kill('SIGKILL');
		await agent.ended;
		agent = start();
		await ready();
	});
});
