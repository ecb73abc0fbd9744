/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * echo.h - answers ICMP echo requests (RFC 792, RFC 4443 section 4.1) to the
 * address of a Service that has a backend. Identifier, sequence and data are
 * unchanged, so both checksums change only by the type and the TTL.
 */
#ifndef MAGLANE_ECHO_H
#define MAGLANE_ECHO_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>

#include "address.h"
#include "bucket.h"
#include "config.h"
#include "csum.h"
#include "icmp.h"
#include "packet.h"
#include "reject.h"
#include "rewrite.h"

#include MAGLANE_HOOK

/*
 * Rewrites the IP header into a reply from the requested address, as if this
 * node had sent it.
 */
static __always_inline int echo_l3(void *data, void *end,
				   const struct packet *p)
{
	struct tuple back;

	tuple_turn(&p->tuple, &back);
	if (p->v4) {
		struct iphdr *ip = data + L3_OFF;

		if ((void *)(ip + 1) > end)
			return -1;
		ip->check = csum_update(ip->check,
					(__u16)~bpf_htons(ip->ttl << 8) +
						bpf_htons(REJECT_TTL << 8));
		ip->ttl = REJECT_TTL;
	} else {
		struct ipv6hdr *ip = data + L3_OFF;

		if ((void *)(ip + 1) > end)
			return -1;
		ip->hop_limit = REJECT_TTL;
	}
	/* the sum of both addresses does not change when they are swapped */
	return rewrite_l3(data, end, p, &back, 0, 0);
}

/* The type of an unfragmented ICMP message without IP options, or -1. */
static __always_inline int echo_type(ctx_t *ctx, const struct packet *p)
{
	__u32 l3_len = p->v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	__u8 type;

	if (p->fragment || p->related || p->l4_off != L3_OFF + l3_len ||
	    p->tuple.proto != (p->v4 ? IPPROTO_ICMP : NEXTHDR_ICMPV6) ||
	    bpf_skb_load_bytes(ctx, L3_OFF + l3_len, &type, sizeof(type)))
		return -1;
	return type;
}

static __always_inline int echo_reply(ctx_t *ctx, struct packet *p)
{
	__u32 off = p->v4 ? L3_OFF + sizeof(struct iphdr) :
			    L3_OFF + sizeof(struct ipv6hdr);
	__u32 check_off = off + __builtin_offsetof(struct icmp_header, checksum);
	__u8 type = p->v4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY;
	__u16 was = bpf_htons((p->v4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST) << 8);

	if (ctx_turn_macs(ctx) ||
	    echo_l3(ctx_data(ctx), ctx_data_end(ctx), p) ||
	    bpf_l4_csum_replace(ctx, check_off, was, bpf_htons(type << 8), 2) ||
	    bpf_skb_store_bytes(ctx, off, &type, sizeof(type), 0))
		return -1;
	p->action = (__u32)bpf_redirect(ctx->ifindex, 0);
	return 0;
}

static __always_inline int echo_answer(ctx_t *ctx, struct packet *p)
{
	if (packet_is_martian(p))
		return REASON_DROP_MARTIAN;
	if (!bucket_answer(ANSWER_ECHO))
		return REASON_DROP_RATE;
	return echo_reply(ctx, p) ? REASON_DROP_REWRITE : REASON_ECHO;
}

/*
 * Handles a packet that is neither TCP nor UDP, received in `scope`. Answers an
 * echo request to an address that has a backend, and leaves neighbour discovery
 * to the host that has the address on the link. All other packets end as in
 * address.h.
 */
static __always_inline int echo_step(ctx_t *ctx, struct packet *p, __u8 scope)
{
	__u32 usable = scope == SCOPE_INTERNAL ? ADDRESS_USABLE_INTERNAL :
						 ADDRESS_USABLE_EXTERNAL;
	int type = echo_type(ctx, p);
	struct service_address *a;

	if (type >= 0 && icmp_is_neighbour((__u8)type, p->v4))
		return REASON_PASS_PROTOCOL;
	if (answer_echo && type == (p->v4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST)) {
		a = address_lookup(&p->tuple.daddr);
		if (a && (a->flags & usable))
			return echo_answer(ctx, p);
	}
	return address_step(p, scope);
}

#endif
