/** Configures and loads the objects of the dataplane, which share one set of pinned maps. */
import type { SocketHook } from './cgroup-links.ts';
import type { ObjectName } from './compile.ts';
import type { Native } from './ffi/library.ts';
import { BpfObject } from './object.ts';
import type { RodataValues } from './rodata.ts';
import { ProgramFlag } from './uapi.ts';
import { LoadError } from './verifier-log.ts';

export interface ObjectOptions {
	/** Directory that maps are pinned in or reused from; absent: they are not pinned. */
	readonly directory?: string;
	/** Values of bpf/config.h. An object takes the variables that it has. */
	readonly config: RodataValues;
	/** Map sizes that override those of bpf/maps.h. A pinned map must have the same size. */
	readonly mapEntries?: Readonly<Record<string, number>>;
	/** Socket hooks that this kernel lacks. */
	readonly without?: readonly SocketHook[];
}

export interface LoadOptions extends ObjectOptions {
	readonly files: Readonly<Record<ObjectName, string>>;
	readonly directory: string;
	/** Whether to load the XDP programs. */
	readonly xdp: boolean;
	/** Whether to serve only sockets of the node's own namespace. */
	readonly hostOnly?: boolean;
	/**
	 * Whether to load a second copy of the socket programs for sockets of the node's own namespace
	 * only.
	 */
	readonly hostSock: boolean;
}

export interface LoadedObjects {
	/** Absent if not wanted, or if the kernel refused it. */
	readonly xdp?: BpfObject;
	readonly tc: BpfObject;
	readonly sock: BpfObject;
	readonly hostSock?: BpfObject;
	/**
	 * The TC programs for devices without a link layer, loaded on the first call. @throws LoadError
	 */
	l3(): BpfObject;
	/** Why XDP is absent although it was wanted. */
	readonly xdpRefused?: LoadError;
	close(): void;
}

/**
 * Attaches nothing. @throws LoadError, BpfError, LayoutError; previous attachments stay unchanged.
 */
export function loadObjects(native: Native, options: LoadOptions): LoadedObjects {
	const open: BpfObject[] = [];
	const close = () => {
		for (const object of open.splice(0)) object.close();
	};
	const load = (name: ObjectName, config: RodataValues = {}) => {
		const all = { ...options, config: { ...options.config, ...config } };
		const object = openObject(native, options.files[name], all);
		open.push(object);
		object.load();
		return object;
	};
	try {
		const tc = load('tc');
		const sock = load('sock', { host_only: Number(options.hostOnly ?? false) });
		const hostSock = options.hostSock ? { hostSock: load('sock', { host_only: 1 }) } : {};
		let tcL3: BpfObject | undefined;
		const l3 = () => {
			tcL3 ??= load('tc_l3');
			return tcL3;
		};
		return { tc, sock, l3, ...hostSock, ...(options.xdp ? tryXdp(() => load('xdp')) : {}), close };
	} catch (error) {
		close();
		throw error;
	}
}

/** TC does all the work of XDP: without XDP the node is slower, not broken. */
function tryXdp(load: () => BpfObject): Pick<LoadedObjects, 'xdp' | 'xdpRefused'> {
	try {
		return { xdp: load() };
	} catch (error) {
		if (error instanceof LoadError) return { xdpRefused: error };
		throw error;
	}
}

/**
 * Opens an object and prepares it for this kernel. Maps are pinned if there is a directory.
 * @throws BpfError, RangeError
 */
export function openObject(
	native: Native,
	file: string,
	{ config, directory, mapEntries = {}, without = [] }: ObjectOptions,
): BpfObject {
	const object = BpfObject.open(native, file);
	try {
		const values = Object.entries(config).filter(([variable]) => object.hasRodata(variable));
		object.setRodata(Object.fromEntries(values));
		object.pinMapsUnder(directory);
		for (const { name } of object.maps) {
			const entries = mapEntries[name];
			if (entries !== undefined) object.setMaxEntries(name, entries);
		}
		const programs = object.programNames;
		if (programs.includes('ml_xdp') && config['have_xdp_frags'])
			object.setFlags('ml_xdp', ProgramFlag.XDP_HAS_FRAGS);
		for (const program of without.map((hook) => `ml_${hook}`))
			if (programs.includes(program)) object.setAutoload(program, false);
		return object;
	} catch (error) {
		object.close();
		throw error;
	}
}
