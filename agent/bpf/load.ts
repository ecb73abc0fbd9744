/** The three objects of the dataplane, configured and loaded over one set of pinned maps. */
import type { ObjectName } from './compile.ts';
import type { Native } from './ffi/native.ts';
import { BpfObject } from './object.ts';
import type { RodataValues } from './rodata.ts';
import { LoadError } from './verifier-log.ts';

export interface LoadOptions {
	readonly files: Readonly<Record<ObjectName, string>>;
	/** Where maps are pinned, and found when they are there. */
	readonly directory: string;
	/** Values of bpf/config.h. */
	readonly config: RodataValues;
	/** Sizes that differ from bpf/maps.h. A pinned map must have the same. */
	readonly mapEntries?: Readonly<Record<string, number>>;
	/** Whether the XDP programs are loaded. */
	readonly xdp: boolean;
	/** Whether there is a second copy of the socket programs, for sockets of the node's own namespace only. */
	readonly hostSock: boolean;
}

export interface LoadedObjects {
	/** Absent: not wanted, or refused by the kernel. */
	readonly xdp?: BpfObject;
	readonly tc: BpfObject;
	readonly sock: BpfObject;
	readonly hostSock?: BpfObject;
	/** Why XDP is absent though it was wanted. */
	readonly xdpRefused?: LoadError;
	close(): void;
}

/** @throws LoadError, BpfError, LayoutError: nothing is attached then, and what was attached before is untouched. */
export function loadObjects(native: Native, options: LoadOptions): LoadedObjects {
	const open: BpfObject[] = [];
	const close = () => {
		for (const object of open.splice(0)) object.close();
	};
	const load = (name: ObjectName, config: RodataValues = {}) => {
		const object = BpfObject.open(native, options.files[name]);
		open.push(object);
		configure(object, options, config);
		object.load();
		return object;
	};
	try {
		const tc = load('tc');
		const sock = load('sock');
		const hostSock = options.hostSock ? { hostSock: load('sock', { host_only: 1 }) } : {};
		return { tc, sock, ...hostSock, ...(options.xdp ? tryXdp(() => load('xdp')) : {}), close };
	} catch (error) {
		close();
		throw error;
	}
}

/** TC does all that XDP does: without XDP the node is slower, not broken. */
function tryXdp(load: () => BpfObject): Pick<LoadedObjects, 'xdp' | 'xdpRefused'> {
	try {
		return { xdp: load() };
	} catch (error) {
		if (error instanceof LoadError) return { xdpRefused: error };
		throw error;
	}
}

function configure(
	object: BpfObject,
	{ config, directory, mapEntries = {} }: LoadOptions,
	more: RodataValues,
): void {
	const values = Object.entries({ ...config, ...more }).filter(([name]) => object.hasRodata(name));
	object.setRodata(Object.fromEntries(values));
	object.pinMapsUnder(directory);
	for (const { name } of object.maps) {
		const entries = mapEntries[name];
		if (entries !== undefined) object.setMaxEntries(name, entries);
	}
}
