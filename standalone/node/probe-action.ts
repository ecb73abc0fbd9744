/** Actions of probes and lifecycle hooks: run a program in the pod or query one of its ports. */

import { request as requestHttp } from 'node:http';
import { connect, constants } from 'node:http2';
import { request as requestHttps } from 'node:https';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { startProgram } from './program.ts';
import type { Place } from './spawn.ts';

export interface HttpGet {
	readonly path?: string;
	readonly port: number | string;
	readonly host?: string;
	readonly scheme?: string;
	readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
}

/** The action of a probe or hook. */
export interface Action {
	readonly exec?: { readonly command?: readonly string[] };
	readonly httpGet?: HttpGet;
	readonly tcpSocket?: { readonly port: number | string; readonly host?: string };
	readonly grpc?: { readonly port: number; readonly service?: string };
	readonly sleep?: { readonly seconds: number };
}

export interface ActionTarget {
	readonly switcher: NetnsSwitcher;
	readonly place: Place;
	/** The pod's address. */
	readonly address: string;
	readonly env: Readonly<Record<string, string>>;
	/** The number of a named container port. */
	port(name: string): number | undefined;
}

/** @returns the reason of a failure; undefined on success. */
export function act(action: Action, target: ActionTarget, timeoutMs: number): Promise<string | undefined> {
	if (action.exec) return runExec(action.exec.command ?? [], target, timeoutMs);
	if (action.httpGet) return getHttp(action.httpGet, target, timeoutMs);
	if (action.tcpSocket) return openTcp(action.tcpSocket, target, timeoutMs);
	if (action.grpc) return checkGrpc(action.grpc, target, timeoutMs);
	if (action.sleep) return pause(Math.min(action.sleep.seconds * 1000, timeoutMs));
	return Promise.resolve(undefined);
}

const OUTPUT_BYTES = 10_240;

async function runExec(
	command: readonly string[],
	{ place, env }: ActionTarget,
	timeoutMs: number,
): Promise<string | undefined> {
	const program = startProgram(place, { argv: command, env, cwd: '/' }, { stdin: false, tty: false });
	let output = '';
	const take = (chunk: Buffer) => (output = (output + chunk.toString()).slice(0, OUTPUT_BYTES));
	program.stdout.on('data', take);
	program.stderr?.on('data', take);
	let late = false;
	const timer = setTimeout(() => {
		late = true;
		program.signal('SIGKILL');
	}, timeoutMs);
	const { exitCode } = await program.ended;
	clearTimeout(timer);
	if (late) return `command timed out after ${timeoutMs / 1000}s`;
	return exitCode === 0 ? undefined : output.trim() || `exit status ${exitCode}`;
}

async function pause(ms: number): Promise<undefined> {
	await sleep(ms, undefined, { ref: false });
}

function portOf(port: number | string, target: ActionTarget): number {
	return typeof port === 'number' ? port : (target.port(port) ?? Number(port));
}

function getHttp(get: HttpGet, target: ActionTarget, timeoutMs: number): Promise<string | undefined> {
	const { address, switcher, place } = target;
	const secure = get.scheme?.toUpperCase() === 'HTTPS';
	const host = get.host ?? address;
	const port = portOf(get.port, target);
	const own = Object.fromEntries(
		(get.httpHeaders ?? []).map(({ name, value }) => [name.toLowerCase(), value]),
	);
	const url = `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}${get.path ?? '/'}`;
	return new Promise((resolve) => {
		const createConnection = (): Socket => {
			const socket = switcher.connectTcp(place.netns, host, port);
			// Like the kubelet, do not verify a pod's certificate
			return secure ? connectTls({ socket, rejectUnauthorized: false }) : socket;
		};
		const call = (secure ? requestHttps : requestHttp)({
			path: get.path ?? '/',
			headers: { host: `${host}:${port}`, 'user-agent': 'kube-probe/1.32', connection: 'close', ...own },
			signal: AbortSignal.timeout(timeoutMs),
			createConnection,
		});
		call.once('response', (response) => {
			response.resume();
			const status = response.statusCode ?? 0;
			resolve(status >= 200 && status < 400 ? undefined : `HTTP probe failed with statuscode: ${status}`);
		});
		call.on('error', (error) => resolve(`Get "${url}": ${error.message}`));
		call.end();
	});
}

function openTcp(
	{ port, host }: Action['tcpSocket'] & {},
	target: ActionTarget,
	timeoutMs: number,
): Promise<string | undefined> {
	const to = host ?? target.address;
	const number = portOf(port, target);
	return new Promise((resolve) => {
		const socket = target.switcher.connectTcp(target.place.netns, to, number);
		const settle = (failure: string | undefined) => {
			socket.destroy();
			resolve(failure);
		};
		socket.setTimeout(timeoutMs, () => settle(`dial tcp ${to}:${number}: i/o timeout`));
		socket.once('connect', () => settle(undefined));
		socket.once('error', (error) => settle(`dial tcp ${to}:${number}: ${error.message}`));
	});
}

/** A value of grpc.health.v1.HealthCheckResponse.ServingStatus. */
const SERVING = 1;

/** A protobuf varint: seven bits a byte, the lowest first; the high bit says that more follow. */
function varint(value: number): number[] {
	return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}

/**
 * Sends one Check of the gRPC health protocol. A message is a zero byte, a four-byte length and
 * protobuf.
 */
function checkGrpc(
	{ port, service = '' }: Action['grpc'] & {},
	{ switcher, place, address }: ActionTarget,
	timeoutMs: number,
): Promise<string | undefined> {
	const name = Buffer.from(service);
	// Field 1 of HealthCheckRequest, a string
	const message =
		name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
	const head = Buffer.alloc(5);
	head.writeUInt32BE(message.length, 1);
	return new Promise((resolve) => {
		const session = connect('http://pod.invalid', {
			createConnection: () => switcher.connectTcp(place.netns, address, port),
		});
		const settle = (failure: string | undefined) => {
			resolve(failure);
			session.destroy();
		};
		session.on('error', (error) => settle(`error: ${error.message}`));
		const call = session.request({
			[constants.HTTP2_HEADER_METHOD]: 'POST',
			[constants.HTTP2_HEADER_PATH]: '/grpc.health.v1.Health/Check',
			'content-type': 'application/grpc',
			te: 'trailers',
		});
		let answer = Buffer.alloc(0);
		call.on('data', (chunk: Buffer) => (answer = Buffer.concat([answer, chunk])));
		call.on('error', (error) => settle(`error: ${error.message}`));
		call.setTimeout(timeoutMs, () =>
			settle(`timeout: health rpc did not complete within ${timeoutMs / 1000}s`),
		);
		call.on('end', () => {
			// Field 1, a varint, is the status. If absent, it is 0: unknown
			const status = answer[5] === 0x08 ? answer[6] : 0;
			settle(status === SERVING ? undefined : `service unhealthy (responded with ${status})`);
		});
		call.end(Buffer.concat([head, message]));
	});
}
