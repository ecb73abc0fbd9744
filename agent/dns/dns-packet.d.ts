/** The used part of dns-packet, which has no types of its own. */
declare module 'dns-packet' {
	export interface Record {
		readonly name: string;
		readonly type: string;
		readonly ttl?: number;
		readonly class?: string;
		readonly flush?: boolean;
		/** By type: an address, a name, fields. */
		readonly data?: unknown;
		/** Fields of an OPT record. */
		readonly udpPayloadSize?: number;
		readonly extendedRcode?: number;
		readonly ednsVersion?: number;
		readonly flags?: number;
	}

	export interface Packet {
		readonly type: 'query' | 'response';
		readonly id: number;
		readonly flags: number;
		readonly rcode: string;
		readonly opcode: string;
		readonly flag_aa: boolean;
		readonly flag_tc: boolean;
		readonly flag_rd: boolean;
		readonly flag_ra: boolean;
		readonly questions: readonly { readonly name: string; readonly type: string; readonly class: string }[];
		readonly answers: readonly Record[];
		readonly authorities: readonly Record[];
		readonly additionals: readonly Record[];
	}

	interface Codec {
		encode(packet: object): Buffer;
		decode(bytes: Uint8Array): Packet;
	}

	const codec: Codec;
	export default codec;
}
