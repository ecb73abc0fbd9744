/**
 * The kernel side of a node: objects compiled and loaded, maps pinned, programs attached or adopted, devices followed.
 * Nothing is ever detached at start or at the end; only cleanup() takes off what was put on.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MAGLANE_ABI } from '../abi/layout.ts';
import { attachCgroupPrograms, type CgroupLinks, cgroupPins } from './cgroup-links.ts';
import { type BpfObjects, bpfObjects } from './compile.ts';
import type { Dataplane, DataplaneLog, DataplaneOptions, DataplaneStatus } from './dataplane-types.ts';
import { DeviceLinks, type DevicePrograms, pinnedUplinks, removePinnedLink } from './device-links.ts';
import { chooseDevices, type DeviceChoice, type Devices, localAddresses } from './devices.ts';
import { type Native, openNative } from './ffi/native.ts';
import { type LoadedObjects, loadObjects } from './load.ts';
import { type Lock, lockPins } from './lock.ts';
import { cgroup2Mount } from './mounts.ts';
import { Netlink } from './netlink.ts';
import { type BpfMap, type ServiceMaps, serviceMaps } from './port.ts';
import { keepPortsReserved } from './port-memo.ts';
import { type Features, measureHz, netnsCookie, probe } from './probe.ts';
import type { RodataValues } from './rodata.ts';
import { type BackendGroup, type Destroyed, SocketDestroyer } from './sock-destroy.ts';
import { KernelTableSegments } from './table-segments.ts';

export type { Dataplane, DataplaneLog, DataplaneOptions, DataplaneStatus } from './dataplane-types.ts';

const POLL_MS = 50;
const RETRY_MS = 1000;
/** How often attachments are looked at without an event: nothing tells when somebody takes a program off. */
const LOOK_MS = 5000;

/**
 * Brings the dataplane up, or takes over what an agent before us left. The process must be in the network namespace of
 * its node. The signal ends the opening; what was opened is ended by close().
 * @throws Error, BpfError, LoadError that say what is missing and what would help. What was attached stays as it was.
 */
export async function openDataplane(
	options: DataplaneOptions,
	log: DataplaneLog,
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
	try {
		const [files, hz] = await Promise.all([objectsFor(options, signal), measureHz(native, signal)]);
		log.info({ origin: files.origin, note: files.note, hz }, 'dataplane.objects');
		dataplane = new KernelDataplane(native, { options, log, features, directory, lock, files, hz });
		await dataplane.settle();
		signal?.throwIfAborted();
	} catch (error) {
		dataplane?.close();
		lock.release();
		throw error;
	}
	log.info({ ...dataplane.status(), features: undefined }, 'dataplane.up');
	return dataplane;
}

/** A cgroup that somebody names must be there: without it the node's own TCP to Services would fail in silence. */
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
	{ snatPorts, answerEcho = false }: DataplaneOptions,
	redirect: boolean,
): RodataValues {
	return {
		host_netns_cookie: netnsCookie(native),
		hz,
		snat_port_min: snatPorts.min,
		snat_port_max: snatPorts.max,
		answer_echo: Number(answerEcho),
		have_set_retval: Number(features.setRetval.ok),
		have_csum_ipv6: Number(features.checksumIpv6.ok),
		xdp_tx_by_redirect: Number(redirect),
	};
}

interface Opening {
	readonly options: DataplaneOptions;
	readonly log: DataplaneLog;
	readonly features: Features;
	readonly directory: string;
	readonly lock: Lock;
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
	readonly #destroyer: SocketDestroyer;
	readonly #tables: KernelTableSegments;
	readonly #cgroups: CgroupLinks[] = [];
	readonly #problems: string[] = [];
	readonly #timer: NodeJS.Timeout;
	#choice: DeviceChoice;
	#devices: Devices = { uplinks: [], pods: [], problems: [] };
	/** undefined until the devices have been looked at. */
	#addresses: readonly string[] | undefined;
	#tell: (addresses: readonly string[]) => void = () => {};
	/** Time (performance.now()) of the next look at the devices, whatever events say. */
	#dueAt = Number.POSITIVE_INFINITY;
	/** The rest of the attachments, in the next turn of the event loop. */
	#soon: NodeJS.Immediate | undefined;
	#closed = false;

	constructor(native: Native, opening: Opening) {
		const { options, log, directory } = opening;
		this.#opening = opening;
		this.#choice = {
			devices: options.devices,
			...(options.nodeAddresses && { nodeAddresses: options.nodeAddresses }),
			formerUplinks: pinnedUplinks(native, directory),
		};
		this.#netlink = new Netlink(native);
		this.#objects = this.#load(native);
		const { tc, sock, xdpRefused } = this.#objects;
		this.#tables = new KernelTableSegments(native, tc.map('tables'), directory);
		this.maps = serviceMaps((name) => tc.map(name), this.#tables);
		this.connections = tc.map('connections');
		this.counters = tc.map('counters');
		this.sockets = sock.map('sockets');
		this.#destroyer = new SocketDestroyer(native, this.sockets);
		if (xdpRefused) this.#degrade(`${xdpRefused.message}; TC does the work of XDP`);
		this.#reservePorts(native);
		this.#attachCgroups(native);
		this.#links = new DeviceLinks(native, {
			directory,
			programs: devicePrograms(this.#objects),
			xdp: options.xdp,
			tc: options.tc ?? 'auto',
			xdpDevices: tc.map('xdp_devices'),
			log,
		});
		this.#timer = setInterval(() => this.#poll(), POLL_MS);
		this.#dueAt = 0;
	}

	/** Resolves when every device that there is has its programs. */
	async settle(): Promise<void> {
		while (!this.#closed && performance.now() >= this.#dueAt) {
			this.#poll();
			await nextTurn();
		}
	}

	status(): DataplaneStatus {
		const { files, hz, features } = this.#opening;
		const degraded = [features.tcx, features.setRetval, features.cgroup2, features.unprivilegedOff];
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
		this.#opening.lock.release();
	}

	#load(native: Native): LoadedObjects {
		const { options, features, hz, directory, files } = this.#opening;
		const { uplinks } = chooseDevices(this.#netlink.network(), this.#choice);
		const redirect = options.xdp === 'native' && uplinks.some(({ kind }) => kind === 'veth');
		try {
			return loadObjects(native, {
				files: files.files,
				directory,
				config: configOf(native, features, hz, options, redirect),
				...(options.mapEntries && { mapEntries: options.mapEntries }),
				xdp: options.xdp !== 'off',
				hostSock: options.hostCgroup !== undefined,
			});
		} catch (error) {
			this.#netlink[Symbol.dispose]();
			throw error;
		}
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

	#attachCgroups(native: Native): void {
		const { options, directory } = this.#opening;
		const { sock, hostSock } = this.#objects;
		const attach = (object: typeof sock, path: string | undefined, prefix: string) => {
			if (path === undefined) return;
			try {
				this.#cgroups.push(attachCgroupPrograms(native, object, path, directory, prefix));
			} catch (error) {
				this.#degrade(`Sockets in ${path} are not served: ${(error as Error).message}`);
			}
		};
		attach(sock, options.cgroup === 'auto' ? cgroup2Mount() : options.cgroup, '');
		if (hostSock) attach(hostSock, options.hostCgroup, 'host_');
		else for (const pin of cgroupPins('host_')) removePinnedLink(native, join(directory, pin));
	}

	#poll(): void {
		if (this.#closed) return;
		try {
			if (this.#netlink.changed() || performance.now() >= this.#dueAt) this.#follow();
		} catch (error) {
			this.#dueAt = performance.now() + RETRY_MS;
			this.#opening.log.error({ err: error }, 'dataplane.devices-failed');
		}
	}

	/** Looks at all devices and makes the attachments fit. */
	#follow(): void {
		const network = this.#netlink.network();
		this.#devices = chooseDevices(network, this.#choice);
		const addresses = localAddresses(network, this.#devices);
		if (addresses.join() !== this.#addresses?.join()) {
			this.#addresses = addresses;
			this.#tell(addresses);
		}
		this.#soon = undefined;
		const state = this.#links.apply(this.#devices, network.links);
		this.#dueAt = state === 'more' ? 0 : performance.now() + (state === 'done' ? LOOK_MS : RETRY_MS);
		if (state === 'more') this.#soon ??= setImmediate(() => this.#poll());
	}
}

function devicePrograms({ tc, xdp }: LoadedObjects): DevicePrograms {
	return {
		...(xdp && { xdp: xdp.program('ml_xdp') }),
		fromNetdev: tc.program('ml_from_netdev'),
		toNetdev: tc.program('ml_to_netdev'),
		fromPod: tc.program('ml_from_pod'),
		toPod: tc.program('ml_to_pod'),
	};
}
