/**
 * Sets net.ipv4.conf.lo.accept_local of the current network namespace: packets that the BPF
 * programs leave to the stack enter through lo with a source address of the node. A pinned map
 * records that the agent set it, so that cleanup resets it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { check } from './call.ts';
import type { Native } from './ffi/library.ts';
import { MapType } from './uapi.ts';

/** Name of the pin. */
export const ACCEPT_LOCAL = 'accept_local';
const PATH = '/proc/sys/net/ipv4/conf/lo/accept_local';

const isSet = () => readFileSync(PATH, 'utf8').trim() === '1';

/** Sets it if it is not set. @throws Error when /proc/sys is read-only. */
export function keepAccepting(native: Native, directory: string): void {
	if (isSet()) return;
	try {
		writeFileSync(PATH, '1');
	} catch (cause) {
		throw new Error(
			`Cannot set ${PATH}: it is not writable; set it to 1 on the node, or datagrams to other nodes that are larger than the path takes are lost`,
			{ cause },
		);
	}
	remember(native, join(directory, ACCEPT_LOCAL));
}

function remember(native: Native, path: string): void {
	if (existsSync(path)) return;
	const { call } = native;
	const fd = check(
		call.bpf_map_create(MapType.ARRAY, ACCEPT_LOCAL, 4, 4, 1, null),
		'create',
		`map ${ACCEPT_LOCAL}`,
	);
	try {
		check(call.bpf_obj_pin(fd, path), 'pin', `map ${ACCEPT_LOCAL} at ${path}`);
	} finally {
		call.close(fd);
	}
}

/** Resets the value if the agent set it. */
export function endAccepting(directory: string): void {
	if (existsSync(join(directory, ACCEPT_LOCAL)) && isSet()) writeFileSync(PATH, '0');
}
