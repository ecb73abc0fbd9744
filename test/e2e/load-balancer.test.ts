import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import ipaddr from 'ipaddr.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { announcement, parseMac } from '../../standalone/lb/frames.ts';
import { Capture } from '../netns/dataplane/capture.ts';
import { Environment } from './support/environment.ts';
import { client, DUAL_STACK, deployment, service } from './support/objects.ts';
import { maglane, type StandaloneDriver, startStandalone } from './support/standalone-cluster.ts';
import { eventually } from './support/wait.ts';

const PREFIX = 'e2ebalancer';
const POOL = '192.168.10.210-192.168.10.219,fd00:10::210-fd00:10::219';

let env: Environment;
let driver: StandaloneDriver;

const ip = (netns: string, ...args: string[]) =>
	execFileSync('ip', ['-n', `${PREFIX}-${netns}`, ...args], { encoding: 'utf8' });
const macOf = (node: string) => JSON.parse(ip(node, '-j', 'link', 'show', 'eth0'))[0].address as string;
const answering = (node: string, address: string) =>
	ip(node, 'neigh', 'show', 'proxy').split(/\s+/).includes(address);
const holders = (address: string) =>
	env.nodes.map(({ name }) => name).filter((node) => answering(node, address));
const heldBy = async (address: string, node: string) =>
	(
		await eventually(`${node} alone answers for ${address}`, async () =>
			holders(address).join() === node ? true : undefined,
		)
	).ms;
/** The client's neighbour entry for an address. */
const known = (address: string) => /lladdr (\S+)/.exec(ip('client', 'neigh', 'show', address))?.[1];
const addressesOf = async (name: string): Promise<string[]> => {
	const { value } = await eventually(`${name} has addresses`, async () => {
		const { status } = await env.get('service', name);
		return status.loadBalancer.ingress?.map((entry: { ip: string }) => entry.ip);
	});
	return value;
};
/** Captures ARP and neighbour advertisements on the client's wire. */
const captureNeighbours = () =>
	Capture.start(`/run/netns/${PREFIX}-client`, 'br0', 'arp or (icmp6 and ip6[40] == 136)');
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const macText = (bytes: Uint8Array) => hex(bytes).replaceAll(/..(?!$)/g, '$&:');
/** Whether the owner of the MAC sent an unsolicited announcement of the address. */
const tells = (frames: Capture, address: string, mac: string) =>
	frames.raw().some((frame) => hex(frame) === hex(announcement(address, parseMac(mac))));
/** MACs of the answers for the address: ARP replies from it, solicited advertisements of it. */
const answersFor = (frames: Capture, address: string) =>
	frames.raw().flatMap((frame) => {
		const text = hex(frame);
		const found = isIPv6(address)
			? text.slice(124, 156) === hex(ipBytes(address)) && (frame[58]! & 0x40) !== 0
			: text.slice(40, 44) === '0002' && text.slice(56, 64) === hex(ipBytes(address));
		return found ? [macText(frame.subarray(6, 12))] : [];
	});
const ipBytes = (address: string) => Uint8Array.from(ipaddr.parse(address).toByteArray());
const other = (node: string) => env.nodes.map(({ name }) => name).find((name) => name !== node)!;

/**
 * Needs the nodes and the client network of this machine. A real cluster has its own load balancer.
 */
describe('LoadBalancer addresses of the pool', { skip: process.env['KUBECONFIG'] !== undefined }, () => {
	beforeAll(async () => {
		driver = await startStandalone(PREFIX, '--lb-pool', POOL);
		env = await Environment.open('load-balancer', driver);
	});

	afterAll(async () => env?.[Symbol.asyncDispose]());

	it('answer to clients outside, to pods and to nodes, over both families', async () => {
		await env.apply(
			deployment('web', 2),
			service('web', { type: 'LoadBalancer', ...DUAL_STACK }),
			client('client'),
		);
		await env.podsReady('web', 2);
		await env.podsReady('client', 1);
		const addresses = await addressesOf('web');
		expect(addresses).toEqual(['192.168.10.210', 'fd00:10::210']);
		const backends = await env.podNames('web');
		for (const host of addresses)
			for (const from of ['outside', { pod: 'client' }, { node: 'node1' }, { node: 'node2' }] as const) {
				await env.reaches(from, { host, port: 80 }, backends);
				await env.reaches(from, { host, port: 90, udp: true }, backends);
			}
	});

	it('are answered for by exactly one node, in ARP and NDP', async () => {
		for (const address of await addressesOf('web')) {
			const [holder, ...more] = holders(address);
			expect(more).toEqual([]);
			await using frames = await captureNeighbours();
			ip('client', 'neigh', 'del', address, 'dev', 'br0');
			const [reply] = await (await env.prober('outside')).http(address, 80);
			expect(reply!.status).toBe(200);
			const { value: answer } = await eventually(`an answer for ${address} is captured`, async () =>
				answersFor(frames, address).at(0),
			);
			expect(answer).toBe(macOf(holder!));
			expect(new Set(answersFor(frames, address)).size).toBe(1);
		}
	});

	it('move within seconds when the wire of their node is cut, told by gratuitous ARP and unsolicited NA, and come back', async () => {
		const addresses = await addressesOf('web');
		const holder = holders(addresses[0]!)[0]!;
		const heir = other(holder);
		await env.apply(deployment('web', 2, { node: heir }));
		await env.kubectl('rollout', 'status', 'deployment/web', '--timeout=30s');
		const mine = addresses.filter((address) => holders(address)[0] === holder);
		const prober = await env.prober('outside');
		for (const address of mine) expect((await prober.http(address, 80))[0]!.status).toBe(200);
		await using frames = await captureNeighbours();
		try {
			ip('client', 'link', 'set', holder, 'down');
			for (const address of mine) {
				await heldBy(address, heir);
				await eventually(`the client finds ${address} at ${heir}`, async () =>
					known(address) === macOf(heir) ? true : undefined,
				);
				expect((await prober.http(address, 80))[0]!.status).toBe(200);
			}
			for (const address of mine)
				await eventually(`${heir} tells of ${address}`, async () =>
					tells(frames, address, macOf(heir)) ? true : undefined,
				);
		} finally {
			ip('client', 'link', 'set', holder, 'up');
		}
		for (const address of mine) await heldBy(address, holder);
	});

	it('move when the agent of their node hangs, and stay when it only restarts', async () => {
		const [address] = await addressesOf('web');
		const holder = holders(address!)[0]!;
		await driver.killAgent(holder);
		await driver.agentReady(holder);
		expect(holders(address!)).toEqual([holder]);
		const pid = await driver.agentPid(holder);
		process.kill(pid, 'SIGSTOP');
		try {
			await heldBy(address!, other(holder));
			expect((await (await env.prober('outside')).http(address!, 80))[0]!.status).toBe(200);
		} finally {
			process.kill(pid, 'SIGCONT');
		}
		await heldBy(address!, holder);
	});

	it('are answered for by a node with an endpoint when externalTrafficPolicy is Local, and clients keep their address', async () => {
		const [, second] = env.nodes;
		for (const { name } of [second!, env.nodes[0]!]) {
			await env.apply(
				deployment('local', 1, { node: name }),
				service('local', { type: 'LoadBalancer', externalTrafficPolicy: 'Local', ...DUAL_STACK }),
			);
			await env.kubectl('rollout', 'status', 'deployment/local', '--timeout=30s');
			const prober = await env.prober('outside');
			for (const address of await addressesOf('local')) {
				await heldBy(address, name);
				const { value } = await eventually(`${address} answers`, async () => {
					const [answer] = await prober.http(address, 80, '/clientip', { timeoutMs: 500 });
					return answer!.status === 200 ? answer!.body : undefined;
				});
				expect(value).toContain(isIPv6(address) ? 'fd00:10::100' : '192.168.10.100');
			}
		}
	});

	it('answer on while there is no control plane, and stay where they are when it is back', async () => {
		const addresses = await addressesOf('web');
		const before = addresses.map(holders);
		const { pid } = JSON.parse(readFileSync(join(driver.directory, 'state.json'), 'utf8'));
		process.kill(pid, 'SIGKILL');
		await eventually('the control plane is gone', async () =>
			existsSync(`/proc/${pid}`) ? undefined : true,
		);
		const prober = await env.prober('outside');
		for (const address of addresses) {
			ip('client', 'neigh', 'del', address, 'dev', 'br0');
			expect((await prober.http(address, 80))[0]!.status).toBe(200);
		}
		await using frames = await captureNeighbours();
		await maglane('up', '--prefix', PREFIX, '--state', driver.directory, '--nodes', '2', '--lb-pool', POOL);
		expect(await addressesOf('web')).toEqual(addresses);
		expect(addresses.map(holders)).toEqual(before);
		for (const [i, address] of addresses.entries())
			expect(tells(frames, address, macOf(before[i]![0]!))).toBe(false);
	});

	it('are given back with their Service, and answered for by nobody', async () => {
		const addresses = await addressesOf('local');
		await env.kubectl('delete', 'service', 'local');
		for (const address of addresses)
			await eventually(`nobody answers for ${address}`, async () =>
				holders(address).length === 0 ? true : undefined,
			);
		await env.apply(service('next', { type: 'LoadBalancer', ...DUAL_STACK }));
		expect(await addressesOf('next')).toEqual(addresses);
	});
});
