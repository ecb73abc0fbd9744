/**
 * The kernel side of a node: loads objects, pins maps, attaches or adopts programs and follows
 * devices. Start and stop never detach programs; only cleanup() does.
 */

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MAGLANE_ABI } from '../abi/layout.ts';
import type { Log } from '../base/log.ts';
import { attachCgroupPrograms, type CgroupLinks, cgroupPins } from './cgroup-links.ts';
import { type BpfObjects, bpfObjects } from './compile.ts';
import type { Dataplane, DataplaneOptions, DataplaneStatus } from './dataplane-types.ts';
import {
	DeviceLinks,
	type DevicePrograms,
	pinnedUplinks,
	removePinnedLink,
	type TcPrograms,
} from './device-links.ts';
import { chooseDevices, type DeviceChoice, type Devices, deviceRoles, localAddresses } from './devices.ts';
import type { Native } from './ffi/library.ts';
import { openNative } from './ffi/native.ts';
import { OtherGenerations } from './generations.ts';
import { LeftOutCgroups } from './left-out-cgroups.ts';
import { type LoadedObjects, loadObjects } from './load.ts';
import { type Lock, lockPins } from './lock.ts';
import { keepAccepting } from './loopback-memo.ts';
import { cgroup2Mount } from './mounts.ts';
import { Netlink } from './netlink.ts';
import { NO_NETNS_COOKIE, netnsCookieByAny } from './netns-cookie.ts';
import type { BpfObject } from './object.ts';
import { type BpfMap, type ServiceMaps, serviceMaps } from './port.ts';
import { keepPortsReserved } from './port-memo.ts';
import { type Features, featureConfig, measureHz, missingHooks, probe } from './probe.ts';
import type { RodataValues } from './rodata.ts';
import { RouteMaps } from './route-maps.ts';
import { type BackendGroup, type Destroyed, SocketDestroyer } from './sock-destroy.ts';
import { KernelTableSegments } from './table-segments.ts';
import { LoadError } from './verifier-log.ts';

export type { Dataplane, DataplaneOptions, DataplaneStatus } from './dataplane-types.ts';

const POLL_MS = 50;
const RETRY_MS = 1000;
const WAITING =
	'Programs of another maglane version serve its last known Services until this agent has listed all: if this lasts, check the connection to the API server';
/**
 * Interval of attachment checks without an event: the kernel sends none when another process
 * detaches a program.
 */
const LOOK_MS = 5000;

/**
 * Starts the dataplane, or takes over the state of a previous agent. The process must be in the
 * network namespace of its node. The signal aborts the start only; close() ends a started
 * dataplane.
 * @throws Error, BpfError, LoadError with the missing requirement and the remedy. Existing
 * attachments stay unchanged.
 */
export async function openDataplane(
	options: DataplaneOptions,
	log: Log,
	signal?: AbortSignal,
): Promise<Dataplane> {
	const native = openNative(options.ffi, log);
	const features = probe(native, options.pinPath);
	for (const needed of [features.capabilities, features.bpffs])
		if (!needed.ok) throw new Error(`Cannot start the dataplane: ${needed.why}`);
	checkCgroups(options);
	const directory = join(options.pinPath, `v${MAGLANE_ABI}`);
	const lock = await lockPins(native, directory, signal);
	let dataplane: KernelDataplane | undefined;
	let others: OtherGenerations | undefined;
	try {
		others = await OtherGenerations.lock(native, directory, signal);
		const [files, hz] = await Promise.all([objectsFor(options, signal), measureHz(native, signal)]);
		log.info({ origin: files.origin, note: files.note, hz }, 'dataplane.objects');
		dataplane = new KernelDataplane(native, { options, log, features, directory, lock, others, files, hz });
		await dataplane.settle();
		signal?.throwIfAborted();
	} catch (error) {
		dataplane?.close();
		others?.release();
		lock.release();
		throw error;
	}
	log.info({ ...dataplane.status(), features: undefined }, 'dataplane.up');
	return dataplane;
}

/**
 * A cgroup set by a flag must exist: otherwise TCP of the node's processes to Services would fail
 * silently.
 */
function checkCgroups({ cgroup, hostCgroup }: DataplaneOptions): void {
	for (const [flag, path] of [
		['--cgroup', cgroup === 'auto' ? undefined : cgroup],
		['--host-cgroup', hostCgroup],
	]) {
		if (path === undefined || existsSync(path)) continue;
		throw new Error(
			`${flag} ${path} does not exist: name a directory of the cgroup v2 mount, or leave it out`,
		);
	}
}

function objectsFor(options: DataplaneOptions, signal?: AbortSignal): Promise<BpfObjects> {
	const root = options.installation ?? resolve(import.meta.dirname, '../..');
	const paths = {
		sources: join(root, 'bpf'),
		shipped: join(root, 'dist/bpf'),
		cache: options.bpfCache ?? join(root, '.cache/bpf'),
	};
	return bpfObjects(paths, signal);
}

/** Values of bpf/config.h for this kernel and node. */
function configOf(
	native: Native,
	features: Features,
	hz: number,
	{ snatPorts, answerEcho = false, ...options }: DataplaneOptions,
	redirect: boolean,
): RodataValues {
	return {
		host_netns_cookie: hostCookie(native, options),
		hz,
		snat_port_min: snatPorts.min,
		snat_port_max: snatPorts.max,
		answer_echo: Number(answerEcho),
		...featureConfig(features),
		xdp_tx_by_redirect: Number(redirect),
	};
}

function hostCookie(native: Native, { cgroup, hostCgroup }: Pick<DataplaneOptions, 'cgroup' | 'hostCgroup'>) {
	const cgroups = [cgroup2Mount(), cgroup === 'auto' ? undefined : cgroup, hostCgroup];
	return netnsCookieByAny(
		native,
		cgroups.filter((path) => path !== undefined),
	);
}

interface Opening {
	readonly options: DataplaneOptions;
	readonly log: Log;
	readonly features: Features;
	readonly directory: string;
	readonly lock: Lock;
	readonly others: OtherGenerations;
	readonly files: BpfObjects;
	readonly hz: number;
}

class KernelDataplane implements Dataplane {
	readonly maps: ServiceMaps;
	readonly connections: BpfMap;
	readonly sockets: BpfMap;
	readonly counters: BpfMap;
	readonly #opening: Opening;
	readonly #netlink: Netlink;
	readonly #objects: LoadedObjects;
	readonly #links: DeviceLinks;
	readonly #routes: RouteMaps;
	readonly #destroyer: SocketDestroyer;
	readonly #tables: KernelTableSegments;
	readonly #leftOut: LeftOutCgroups;
	#leftOutDue = 0;
	readonly #cgroups: CgroupLinks[] = [];
	readonly #problems: string[] = [];
	readonly #timer: NodeJS.Timeout;
	#choice: DeviceChoice;
	#devices: Devices = { uplinks: [], pods: [], away: [], problems: [] };
	/** Whether routing rules match marks. */
	#marked = false;
	/** undefined before the first look at the devices. */
	#addresses: readonly string[] | undefined;
	#tell: (addresses: readonly string[]) => void = () => {};
	/** Time (performance.now()) of the next look at the devices, even without an event. */
	#dueAt = Number.POSITIVE_INFINITY;
	/** Attaches the remaining programs in the next turn of the event loop. */
	#soon: NodeJS.Immediate | undefined;
	#closed = false;
	readonly #native: Native;
	/**
	 * Programs of another ABI serve until the maps are filled: this agent's programs would find no
	 * Service before.
	 */
	#waiting: boolean;

	constructor(native: Native, opening: Opening) {
		const { options, log, directory, others } = opening;
		this.#opening = opening;
		this.#native = native;
		this.#waiting = others.attached;
		this.#choice = {
			devices: options.devices,
			...(options.nodeAddresses && { nodeAddresses: options.nodeAddresses }),
			formerUplinks: [directory, ...others.directories].flatMap((each) => pinnedUplinks(native, each)),
		};
		this.#netlink = new Netlink(native);
		this.#objects = this.#load(native);
		const { tc, sock, xdpRefused } = this.#objects;
		this.#tables = new KernelTableSegments(native, tc.map('tables'), directory);
		this.maps = serviceMaps((name) => tc.map(name), this.#tables);
		this.connections = tc.map('connections');
		this.counters = tc.map('counters');
		this.sockets = sock.map('sockets');
		this.#destroyer = new SocketDestroyer(native, this.sockets, (address) => this.#movesTo(address));
		this.#leftOut = new LeftOutCgroups(
			sock.map('left_out_cgroups'),
			sock.map('left_out_count'),
			this.#cgroupRoot ?? '/nowhere',
		);
		if (options.socketLb !== 'labels') this.#leftOut.set([]);
		if (xdpRefused) this.#degrade(`${xdpRefused.message}; TC does the work of XDP`);
		this.#routes = new RouteMaps(tc);
		others.takeMemos();
		this.#reservePorts(native);
		this.#acceptOwnSources(native);
		if (!this.#waiting) this.#attachCgroups(native);
		this.#links = new DeviceLinks(native, {
			directory,
			programs: devicePrograms(this.#objects, (problem) => this.#degrade(problem)),
			xdp: options.xdp,
			tc: options.tc ?? 'auto',
			xdpDevices: tc.map('xdp_devices'),
			deviceMacs: tc.map('device_macs'),
			filters: (ifindex, direction) => this.#netlink.filters(ifindex, direction),
			log,
		});
		this.#timer = setInterval(() => this.#poll(), POLL_MS);
		this.#dueAt = 0;
	}

	/** Resolves when every present device has its programs. */
	async settle(): Promise<void> {
		while (!this.#closed && performance.now() >= this.#dueAt) {
			this.#poll();
			await nextTurn();
		}
	}

	status(): DataplaneStatus {
		const { files, hz, features } = this.#opening;
		const { tcx, setRetval, socketRelease, cgroup2, unprivilegedOff } = features;
		const degraded = [tcx, setRetval, socketRelease, cgroup2, unprivilegedOff];
		return {
			objects: { origin: files.origin, note: files.note },
			hz,
			features,
			uplinks: this.#devices.uplinks.map(({ name }) => name),
			pods: this.#devices.pods.map(({ name }) => name),
			attachments: [...this.#links.status(), ...this.#cgroups.flatMap(({ status }) => status)],
			degradations: [
				...this.#problems,
				...this.#devices.problems,
				...this.#links.problems(),
				...(this.#waiting ? [WAITING] : []),
				...this.#routes.problems(),
				...(this.#marked && !features.fib.mark.ok ? [features.fib.mark.why] : []),
				...degraded.filter(({ ok }) => !ok).map(({ why }) => why),
			],
		};
	}

	setNodeAddresses(addresses: readonly string[]): void {
		if (addresses.join() === this.#choice.nodeAddresses?.join()) return;
		this.#choice = { ...this.#choice, nodeAddresses: addresses };
		this.#dueAt = 0;
	}

	followAddresses(listener: (addresses: readonly string[]) => void): void {
		this.#tell = listener;
		if (this.#addresses) listener(this.#addresses);
	}

	filled(): void {
		if (!this.#waiting || this.#closed) return;
		this.#waiting = false;
		const { others, log } = this.#opening;
		log.info({ from: others.directories }, 'dataplane.taking-over');
		others.takeLinks();
		this.#attachCgroups(this.#native);
		this.#dueAt = 0;
	}

	leaveOut(pods: readonly string[]): void {
		this.#leftOut.set(pods);
		this.#leftOutDue = 0;
	}

	destroySockets(group: BackendGroup): Destroyed {
		return this.#destroyer.destroy(group);
	}

	close(): void {
		if (this.#closed) return;
		this.#closed = true;
		clearInterval(this.#timer);
		this.#links.close();
		for (const cgroup of this.#cgroups) cgroup.close();
		this.#tables.close();
		this.#destroyer[Symbol.dispose]();
		this.#objects.close();
		this.#netlink[Symbol.dispose]();
		this.#opening.others.release();
		this.#opening.lock.release();
	}

	#load(native: Native): LoadedObjects {
		const { options, features, hz, directory, files } = this.#opening;
		const { uplinks } = chooseDevices(this.#netlink.network(), this.#choice);
		const redirect = options.xdp === 'native' && uplinks.some(({ kind }) => kind === 'veth');
		const config = configOf(native, features, hz, options, redirect);
		if (config['host_netns_cookie'] === 0n) this.#degrade(NO_NETNS_COOKIE);
		try {
			return loadObjects(native, {
				files: files.files,
				directory,
				config,
				...(options.mapEntries && { mapEntries: options.mapEntries }),
				xdp: options.xdp !== 'off',
				hostOnly: options.socketLb === 'host',
				hostSock: options.hostCgroup !== undefined,
				without: missingHooks(features),
			});
		} catch (error) {
			this.#netlink[Symbol.dispose]();
			throw error;
		}
	}

	/**
	 * Whether datagrams to this address leave through a device with our programs. A pod's veth
	 * disappears with the pod. On other links, a removed backend has no neighbour entry, so the
	 * kernel cannot send to it.
	 */
	#movesTo(address: Uint8Array): boolean {
		const route = this.#netlink.routeTo(address);
		const { uplinks, pods } = this.#devices;
		const [device] = route?.devices ?? [];
		return (
			pods.some(({ index }) => index === device) ||
			(route?.gateway === true && uplinks.some(({ index }) => index === device))
		);
	}

	#degrade(problem: string): void {
		this.#problems.push(problem);
		this.#opening.log.warn({ reason: problem }, 'dataplane.degraded');
	}

	#reservePorts(native: Native): void {
		const { options, directory } = this.#opening;
		try {
			keepPortsReserved(native, directory, options.snatPorts);
		} catch (error) {
			this.#degrade((error as Error).message);
		}
	}

	#acceptOwnSources(native: Native): void {
		try {
			keepAccepting(native, this.#opening.directory);
		} catch (error) {
			this.#degrade((error as Error).message);
		}
	}

	get #cgroupRoot(): string | undefined {
		const { cgroup } = this.#opening.options;
		return cgroup === 'auto' ? cgroup2Mount() : cgroup;
	}

	#attachCgroups(native: Native): void {
		const { options, directory, features } = this.#opening;
		const { sock, hostSock } = this.#objects;
		const without = missingHooks(features);
		const attach = (object: typeof sock, path: string | undefined, prefix: string) => {
			if (path === undefined) return;
			try {
				this.#cgroups.push(attachCgroupPrograms(native, object, path, directory, prefix, without));
			} catch (error) {
				this.#degrade(`Sockets in ${path} are not served: ${(error as Error).message}`);
			}
		};
		attach(sock, this.#cgroupRoot, '');
		if (hostSock) attach(hostSock, options.hostCgroup, 'host_');
		else for (const pin of cgroupPins('host_')) removePinnedLink(native, join(directory, pin));
	}

	#poll(): void {
		if (this.#closed) return;
		try {
			this.#lookLeftOut();
			if (this.#netlink.changed() || performance.now() >= this.#dueAt) this.#follow();
		} catch (error) {
			this.#dueAt = performance.now() + RETRY_MS;
			this.#opening.log.error({ err: error }, 'dataplane.devices-failed');
		}
	}

	/**
	 * A pod's cgroup exists before its first process, so look often.
	 * The interval grows with the time that a look takes.
	 */
	#lookLeftOut(): void {
		if (this.#leftOut.missing === 0 || performance.now() < this.#leftOutDue) return;
		const started = performance.now();
		this.#leftOut.look();
		// use at most a twentieth of the time, on nodes with many cgroups
		this.#leftOutDue = performance.now() + (performance.now() - started) * 20;
	}

	/** Reads all devices and updates the attachments. */
	#follow(): void {
		const network = this.#netlink.network();
		this.#devices = chooseDevices(network, this.#choice);
		this.#marked = network.rules.mark;
		this.#routes.write(
			deviceRoles(network, this.#devices, this.#choice.nodeAddresses),
			network.routes,
			network.rules,
		);
		const addresses = localAddresses(network, this.#devices);
		if (addresses.join() !== this.#addresses?.join()) {
			this.#addresses = addresses;
			this.#tell(addresses);
		}
		this.#soon = undefined;
		if (this.#waiting) {
			this.#dueAt = performance.now() + LOOK_MS;
			return;
		}
		const state = this.#links.apply(this.#devices, network.links);
		if (state !== 'more') this.#opening.others.remove();
		this.#dueAt = state === 'more' ? 0 : performance.now() + (state === 'done' ? LOOK_MS : RETRY_MS);
		if (state === 'more') this.#soon ??= setImmediate(() => this.#poll());
	}
}

const tcPrograms = (tc: BpfObject): TcPrograms => ({
	fromNetdev: tc.program('ml_from_netdev'),
	toNetdev: tc.program('ml_to_netdev'),
	fromPod: tc.program('ml_from_pod'),
	toPod: tc.program('ml_to_pod'),
});

function devicePrograms(objects: LoadedObjects, degrade: (problem: string) => void): DevicePrograms {
	const { tc, xdp } = objects;
	let l3: TcPrograms | 'refused' | undefined;
	return {
		...(xdp && { xdp: xdp.program('ml_xdp') }),
		...tcPrograms(tc),
		l3() {
			try {
				l3 ??= tcPrograms(objects.l3());
			} catch (error) {
				if (!(error instanceof LoadError)) throw error;
				l3 = 'refused';
				degrade(`Devices without a link layer are not served: ${error.message}`);
			}
			return l3 === 'refused' ? undefined : l3;
		},
	};
}
