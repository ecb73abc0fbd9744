/** What the dataplane is given, and what it offers. */
import type { BpfObjects } from './compile.ts';
import type { AttachmentStatus } from './device-links.ts';
import type { LogSink } from './ffi/log.ts';
import type { FfiName } from './ffi/native.ts';
import type { XdpMode } from './link.ts';
import type { BpfMap, ServiceMaps } from './port.ts';
import type { Features } from './probe.ts';
import type { PortRange } from './reserved-ports.ts';
import type { BackendGroup, Destroyed } from './sock-destroy.ts';

/** agent/config.ts's Config is one. */
export interface DataplaneOptions {
	/** Directory on bpffs; pins go to its sub-directory v<ABI>. */
	readonly pinPath: string;
	/** cgroup v2 directory; auto: the cgroup2 mount. */
	readonly cgroup: string;
	readonly hostCgroup?: string;
	readonly xdp: 'auto' | XdpMode | 'off';
	readonly devices: 'auto' | readonly string[];
	readonly snatPorts: PortRange;
	/** Whether ICMP echo requests to service addresses are answered; not when absent. */
	readonly answerEcho?: boolean;
	readonly ffi: FfiName;
	/** Default: .cache/bpf of the installation. */
	readonly bpfCache?: string;
	/** Addresses of the Node object, when they are known; see also setNodeAddresses(). */
	readonly nodeAddresses?: readonly string[];
	/** Sizes of maps that differ from bpf/maps.h. */
	readonly mapEntries?: Readonly<Record<string, number>>;
	/** How TC programs are attached; auto: TCX where the kernel has it, else clsact filters. */
	readonly tc?: 'auto' | 'clsact';
	/** Directory that has bpf/ and dist/bpf/. */
	readonly installation?: string;
}

export interface DataplaneLog extends LogSink {
	info(fields: object, event: string): void;
	error(fields: object, event: string): void;
}

export interface DataplaneStatus {
	readonly objects: Pick<BpfObjects, 'origin' | 'note'>;
	readonly hz: number;
	readonly features: Features;
	readonly uplinks: readonly string[];
	readonly pods: readonly string[];
	readonly attachments: readonly AttachmentStatus[];
	/** What does not work as it could, and why, for people. */
	readonly degradations: readonly string[];
}

export interface Dataplane {
	readonly maps: ServiceMaps;
	readonly connections: BpfMap;
	readonly sockets: BpfMap;
	/** enum reason -> struct counter of every possible CPU. */
	readonly counters: BpfMap;
	status(): DataplaneStatus;
	/** Ends sockets of the node that socket load balancing has connected to these backends. @throws BpfError */
	destroySockets(group: BackendGroup): Destroyed;
	/** The Node object's addresses: the devices that hold them are uplinks. */
	setNodeAddresses(addresses: readonly string[]): void;
	/** Tells all addresses of the node's own devices, when they are known and whenever they change. One listener. */
	followAddresses(listener: (addresses: readonly string[]) => void): void;
	/** Ends following devices and lets go. Programs, maps and connections live on. */
	close(): void;
}
