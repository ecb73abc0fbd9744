/**
 * Removes everything that agents attached or pinned. Needs neither the API server nor the BPF
 * objects.
 */

import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../base/log.ts';
import { detachFilters, removePinnedLink } from './device-links.ts';
import type { FfiName } from './ffi/library.ts';
import { openNative } from './ffi/native.ts';
import { endAccepting } from './loopback-memo.ts';
import { Netlink } from './netlink.ts';
import { releaseReservedPorts } from './port-memo.ts';
import { removeClsact } from './tc.ts';
import { requireTrusted } from './trusted.ts';

export interface CleanupOptions {
	/** Same as the agent's option: the parent directory of v<ABI>. */
	readonly pinPath: string;
	readonly ffi: FfiName;
}

/**
 * Detaches every program, removes the pins of all ABI versions and restores the reserved ports. Run
 * it in the network namespace of the node, while no agent runs.
 * @returns the paths of the removed pins.
 * @throws Error when other users can write to the directory, since its entries may point anywhere.
 */
export function cleanup({ pinPath, ffi }: CleanupOptions, log?: Log): string[] {
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
		endAccepting(directory);
		for (const path of pins) rmSync(path, { force: true });
		rmdirSync(directory);
		removed.push(...pins);
	}
	using netlink = new Netlink(native);
	// keep a qdisc that still has filters of other programs
	for (const { index } of netlink.network().links)
		if (detachFilters(native, index) && !netlink.hasFilters(index)) removeClsact(native, index);
	if (existsSync(pinPath) && readdirSync(pinPath).length === 0) rmdirSync(pinPath);
	return removed;
}
