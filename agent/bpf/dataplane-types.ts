import type { BpfObjects } from './compile.ts';
import type { AttachmentStatus } from './device-links.ts';
import type { FfiName } from './ffi/library.ts';
import type { XdpMode } from './link.ts';
import type { BpfMap, ServiceMaps } from './port.ts';
import type { Features } from './probe.ts';
import type { PortRange } from './reserved-ports.ts';
import type { BackendGroup, Destroyed } from './sock-destroy.ts';

/** Config of agent/config.ts implements this interface. */
export interface DataplaneOptions {
	/** Directory on bpffs. Pins are in its subdirectory v<ABI>. */
	readonly pinPath: string;
	/** cgroup v2 directory. auto: the cgroup2 mount. */
	readonly cgroup: string;
	readonly hostCgroup?: string;
	/**
	 * Sockets to load-balance. With `labels`, all are balanced except those of leaveOut(). Default:
	 * all.
	 */
	readonly socketLb?: 'all' | 'host' | 'labels';
	readonly xdp: 'auto' | XdpMode | 'off';
	readonly devices: 'auto' | readonly string[];
	readonly snatPorts: PortRange;
	/** Whether to answer ICMP echo requests to service addresses. Default: false. */
	readonly answerEcho?: boolean;
	readonly ffi: FfiName;
	/** Default: .cache/bpf of the installation. */
	readonly bpfCache?: string;
	/** Addresses of the Node object, if known. See setNodeAddresses(). */
	readonly nodeAddresses?: readonly string[];
	/** Map sizes that override those of bpf/maps.h. */
	readonly mapEntries?: Readonly<Record<string, number>>;
	/** How TC programs are attached. auto: TCX where the kernel supports it, else clsact filters. */
	readonly tc?: 'auto' | 'clsact';
	/** Directory that contains bpf/ and dist/bpf/. */
	readonly installation?: string;
}

export interface DataplaneStatus {
	readonly objects: Pick<BpfObjects, 'origin' | 'note'>;
	readonly hz: number;
	readonly features: Features;
	readonly uplinks: readonly string[];
	readonly pods: readonly string[];
	readonly attachments: readonly AttachmentStatus[];
	/** Missing or limited functions with the reason, for operators. */
	readonly degradations: readonly string[];
}

export interface Dataplane {
	readonly maps: ServiceMaps;
	readonly connections: BpfMap;
	readonly sockets: BpfMap;
	/** enum reason -> struct counter of every possible CPU. */
	readonly counters: BpfMap;
	status(): DataplaneStatus;
	/**
	 * Destroys the node's sockets that socket load balancing connected to these backends.
	 * @throws BpfError
	 */
	destroySockets(group: BackendGroup): Destroyed;
	/** Excludes the sockets of exactly these pods (by UID) from load balancing. TC serves them. */
	leaveOut(pods: readonly string[]): void;
	/** Sets the addresses of the Node object. The devices that hold them are uplinks. */
	setNodeAddresses(addresses: readonly string[]): void;
	/**
	 * Reports the addresses of the node's own devices once they are known and after each change.
	 * Supports one listener.
	 */
	followAddresses(listener: (addresses: readonly string[]) => void): void;
	/**
	 * Called once the maps hold all Services. The programs of this ABI then take over from those of
	 * another ABI.
	 */
	filled(): void;
	/**
	 * Stops following devices and closes all descriptors. Programs, maps and connections stay in the
	 * kernel.
	 */
	close(): void;
}
