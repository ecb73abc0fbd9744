/** Takes off all that agents put on: the one thing that ends the dataplane. Needs neither an API nor the objects. */
import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { detachFilters, removePinnedLink } from './device-links.ts';
import type { LogSink } from './ffi/log.ts';
import { type FfiName, openNative } from './ffi/native.ts';
import { Netlink } from './netlink.ts';
import { releaseReservedPorts } from './port-memo.ts';
import { removeClsact } from './tc.ts';
import { requireTrusted } from './trusted.ts';

export interface CleanupOptions {
	/** As of the agent: the directory above v<ABI>. */
	readonly pinPath: string;
	readonly ffi: FfiName;
}

/**
 * Detaches every program, removes the pins of all ABI versions, and gives the reserved ports back. Run it in the node's
 * network namespace, when no agent runs. @returns what was removed: paths of pins.
 * @throws Error for a directory that others can change: what lies there may lead anywhere.
 */
export function cleanup({ pinPath, ffi }: CleanupOptions, log?: LogSink): string[] {
	const native = openNative(ffi, log);
	const removed: string[] = [];
	requireTrusted(pinPath, `clean up ${pinPath}`);
	const versions = existsSync(pinPath) ? readdirSync(pinPath).filter((name) => /^v\d+$/.test(name)) : [];
	for (const directory of versions.map((name) => join(pinPath, name))) {
		requireTrusted(directory, `clean up ${directory}`);
		const pins = readdirSync(directory).map((name) => join(directory, name));
		const links = pins.filter((path) => path.includes('/link_'));
		for (const path of links) removePinnedLink(native, path);
		releaseReservedPorts(native, directory);
		for (const path of pins) rmSync(path, { force: true });
		rmdirSync(directory);
		removed.push(...pins);
	}
	using netlink = new Netlink(native);
	// a qdisc with filters of others is not ours to take away
	for (const { index } of netlink.network().links)
		if (detachFilters(native, index) && !netlink.hasFilters(index)) removeClsact(native, index);
	if (existsSync(pinPath) && readdirSync(pinPath).length === 0) rmdirSync(pinPath);
	return removed;
}
