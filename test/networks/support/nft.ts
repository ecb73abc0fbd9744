/**
 * Adds netfilter rules of CNIs by nfnetlink (<linux/netfilter/nf_tables.h>), so that neither nft
 * nor iptables is required. A rule is a list of expressions, with matches before the action.
 */
import { check } from '../../../agent/bpf/call.ts';
import { openNative } from '../../../agent/bpf/ffi/native.ts';
import { errnoOf, messages } from '../../../agent/bpf/netlink-message.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';
import { parseIp } from '../../../agent/model/ip.ts';
import { attribute, joined, nested, text } from './attributes.ts';
import type { Family } from './spec.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_NETFILTER = 12;
const SUBSYSTEM = 10;
const BATCH_BEGIN = 16;
const BATCH_END = 17;
const NEW_TABLE = 0;
const NEW_CHAIN = 3;
const NEW_RULE = 6;
const REQUEST = 0x1;
const ACK = 0x4;
const CREATE = 0x400;
const APPEND = 0x800;
const ERROR = 2;
const PROTOCOLS = { v4: 2, v6: 10 } as const;

/** Chains by netfilter hook and iptables priority. */
export const CHAINS = {
	mangle: { type: 'filter', hook: 0, priority: -150 },
	postrouting: { type: 'nat', hook: 4, priority: 100 },
} as const;
export type Chain = keyof typeof CHAINS;

export type Expression = Uint8Array;

/** A number in network byte order, which nf_tables uses for its attributes. */
function number(type: number, value: number): Uint8Array {
	const bytes = new Uint8Array(4);
	new DataView(bytes.buffer).setInt32(0, value, false);
	return attribute(type, bytes);
}

const expression = (name: string, ...of: readonly Uint8Array[]): Expression =>
	nested(1, text(1, name), nested(2, ...of));
/** Loads into register 1, operations from it, and comparisons with it. */
const load = (name: string, register: number, key: number, value: number, ...more: readonly Uint8Array[]) =>
	expression(name, number(register, 1), number(key, value), ...more);
const compare = (value: Uint8Array, equal = true) =>
	expression('cmp', number(1, 1), number(2, equal ? 0 : 1), nested(3, attribute(1, value)));
const hostOrder = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);

const Meta = { MARK: 3, IN_NAME: 6, OUT_NAME: 7 } as const;
const CT_MARK = 3;

/** Matches a device name. A trailing * matches a prefix. */
function device(key: number, name: string): Expression[] {
	const bytes = name.endsWith('*') ? Buffer.from(name.slice(0, -1)) : Buffer.alloc(16);
	if (!name.endsWith('*')) bytes.write(name);
	return [load('meta', 1, 2, key), compare(Uint8Array.from(bytes))];
}

/** Matches an address at the `offsets` of an IPv4 and an IPv6 header. Prefixes are whole bytes. */
function address(cidr: string, [v4, v6]: readonly [number, number], equal: boolean): Expression[] {
	const [base, length] = cidr.split('/');
	const { family, bytes } = parseIp(base!)!;
	const size = Number(length) / 8;
	const start = family === 4 ? 12 : 0;
	const payload = [number(1, 1), number(2, 1), number(3, family === 4 ? v4 : v6), number(4, size)];
	return [expression('payload', ...payload), compare(bytes.slice(start, start + size), equal)];
}

export const inBy = (name: string) => device(Meta.IN_NAME, name);
export const outBy = (name: string) => device(Meta.OUT_NAME, name);
export const from = (cidr: string) => address(cidr, [12, 8], true);
export const notFrom = (cidr: string) => address(cidr, [12, 8], false);
export const to = (cidr: string) => address(cidr, [16, 24], true);
export const notTo = (cidr: string) => address(cidr, [16, 24], false);
/** `addrtype --dst-type LOCAL`. */
export const toLocal = (): Expression[] => [load('fib', 1, 2, 3, number(3, 2)), compare(hostOrder(2))];
export const masquerade = (): Expression[] => [expression('masq')];
const verdict = (code: number): Expression[] => [
	expression('immediate', number(1, 0), nested(2, nested(2, number(1, code)))),
];
export const accept = () => verdict(1);
export const drop = () => verdict(0);
/**
 * Matches packets whose source is routed through another device: `fib saddr . iif oif missing`,
 * firewalld's filter for IPv6.
 */
export const fromWrongSide = (): Expression[] => [load('fib', 1, 2, 1, number(3, 9)), compare(hostOrder(0))];
/** `CONNMARK --set-mark`. */
export const setConnectionMark = (mark: number): Expression[] => [
	expression('immediate', number(1, 1), nested(2, attribute(1, hostOrder(mark)))),
	expression('ct', number(2, CT_MARK), number(4, 1)),
];
/** `CONNMARK --restore-mark`. */
export const restoreMark = (): Expression[] => [
	load('ct', 1, 2, CT_MARK),
	expression('meta', number(2, Meta.MARK), number(3, 1)),
];

let sequence = 0;

function message(
	type: number,
	flags: number,
	family: number,
	resource: number,
	body: Uint8Array,
): Uint8Array {
	const bytes = new Uint8Array(20 + body.length);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, bytes.length, true);
	view.setUint16(4, type, true);
	view.setUint16(6, REQUEST | flags, true);
	view.setUint32(8, ++sequence, true);
	view.setUint8(16, family);
	view.setUint16(18, resource, false);
	bytes.set(body, 20);
	return bytes;
}

/** Table `cni` of one family with a chain and its rules. */
function batch(family: Family, chain: Chain, rules: readonly (readonly Expression[])[]): Uint8Array {
	const table = 'cni';
	const ask = (type: number, flags: number, ...body: readonly Uint8Array[]) =>
		message((SUBSYSTEM << 8) | type, CREATE | ACK | flags, PROTOCOLS[family], 0, joined(body));
	const { type, hook, priority } = CHAINS[chain];
	return joined([
		message(BATCH_BEGIN, 0, 0, SUBSYSTEM, new Uint8Array()),
		ask(NEW_TABLE, 0, text(1, table)),
		ask(
			NEW_CHAIN,
			0,
			text(1, table),
			text(3, chain),
			nested(4, number(1, hook), number(2, priority)),
			text(7, type),
		),
		...rules.map((rule) => ask(NEW_RULE, APPEND, text(1, table), text(2, chain), nested(4, ...rule))),
		message(BATCH_END, 0, 0, SUBSYSTEM, new Uint8Array()),
	]);
}

/** Adds a chain with rules in a namespace. @throws Error with the errno of the refusal */
export function netfilter(
	netns: string,
	family: Family,
	chain: Chain,
	...rules: readonly (readonly Expression[])[]
): void {
	const { call } = openNative('koffi');
	const request = batch(family, chain, rules);
	using switcher = new NetnsSwitcher();
	const flags = SOCK_RAW | 0o4000 | 0o2000000;
	const fd = switcher.within(netns, () =>
		check(call.socket(AF_NETLINK, flags, NETLINK_NETFILTER), 'open', 'nfnetlink'),
	);
	try {
		check(call.send(fd, request, request.length, 0), 'add', 'rules of netfilter');
		const buffer = new Uint8Array(65_536);
		for (let left = 2 + rules.length; left > 0; ) {
			const length = check(call.recv(fd, buffer, buffer.length, 0), 'read', 'answers of netfilter');
			for (const { type, body } of messages(buffer.subarray(0, length))) {
				left--;
				const errno = type === ERROR ? errnoOf(body) : 0;
				if (errno !== 0) throw new Error(`Netfilter refuses rules of ${chain}: errno ${errno}`);
			}
		}
	} finally {
		call.close(fd);
	}
}
