/** Cuts a built frame into IP fragments, as a router (IPv4) or the sender (IPv6) would. */
import { packet } from './builder.ts';
import { concat } from './bytes.ts';
import { decode } from './decode.ts';

/** `size` is the maximum of transport payload bytes in one fragment, a multiple of eight. */
export function fragments(frame: Uint8Array, size: number, id = 7): Uint8Array[] {
	const { ip, eth } = decode(frame);
	if (!ip || !eth || ip.options.length > 0) throw new TypeError('Only a plain IP frame can be cut');
	const header = ip.version === 4 ? 20 : 40;
	const body = frame.subarray(14 + header, 14 + ip.totalLength);
	const out: Uint8Array[] = [];
	for (let offset = 0; offset < body.length; offset += size) {
		const part = body.subarray(offset, offset + size);
		const more = offset + size < body.length;
		const { src, dst, ttl, tos, proto } = ip;
		const base = packet().eth({ src: eth.src, dst: eth.dst });
		const cut =
			ip.version === 4
				? base.ipv4({ src, dst, ttl, tos, proto, id, fragmentOffset: offset, moreFragments: more })
				: base.ipv6({ src, dst, hopLimit: ttl, trafficClass: tos }).fragment({ offset, more, id, proto });
		out.push(cut.payload(concat(part)).bytes());
	}
	return out;
}
