export type TcDirection = 'ingress' | 'egress';

/** Target of a TC program: a device of the current network namespace. */
export interface TcTarget {
	readonly ifindex: number;
	readonly direction: TcDirection;
}
