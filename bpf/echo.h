/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * echo.h - answers ICMP echo requests (RFC 792, RFC 4443 section 4.1) to the
 * address of a Service that can be used. Identifier, sequence and data stay as
 * they are, so both checksums change by the type and the TTL only.
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
#include "config.h"
#include "csum.h"
#include "ctx.h"
#include "icmp.h"
#include "packet.h"
#include "reject.h"
#include "rewrite.h"

/* From the address that was asked to who asked, as if this node had sent it. */
static __always_inline int echo_l3(void *data, void *end,
				   const struct packet *p)
{
	struct ethhdr *eth = data;
	struct tuple back;

	if ((void *)(eth + 1) > end)
		return -1;
	tuple_turn(&p->tuple, &back);
	reject_macs(eth);
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
	/* a sum of both addresses is the same when they are exchanged */
	return rewrite_l3(data, end, p, &back, 0, 0);
}

/* An echo request that is whole and has no options before it? */
static __always_inline int echo_is_request(ctx_t *ctx, const struct packet *p)
{
	__u32 l3_len = p->v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	__u8 type;

	if (p->fragment || p->related || p->l4_off != L3_OFF + l3_len ||
	    p->tuple.proto != (p->v4 ? IPPROTO_ICMP : NEXTHDR_ICMPV6))
		return 0;
	return !bpf_skb_load_bytes(ctx, L3_OFF + l3_len, &type, sizeof(type)) &&
	       type == (p->v4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST);
}

static __always_inline int echo_reply(ctx_t *ctx, struct packet *p)
{
	__u32 off = p->v4 ? L3_OFF + sizeof(struct iphdr) :
			    L3_OFF + sizeof(struct ipv6hdr);
	__u32 check_off = off + __builtin_offsetof(struct icmp_header, checksum);
	__u8 type = p->v4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY;
	__u16 was = bpf_htons((p->v4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST) << 8);

	if (echo_l3(ctx_data(ctx), ctx_data_end(ctx), p) ||
	    bpf_l4_csum_replace(ctx, check_off, was, bpf_htons(type << 8), 2) ||
	    bpf_skb_store_bytes(ctx, off, &type, sizeof(type), 0))
		return -1;
	p->action = (__u32)bpf_redirect(ctx->ifindex, 0);
	return 0;
}

/*
 * What is neither TCP nor UDP, reached from `scope`: an echo request to an
 * address that has a backend is answered, all else ends as address.h says.
 */
static __always_inline int echo_step(ctx_t *ctx, struct packet *p, __u8 scope)
{
	struct service_address *a;
	__u32 usable = scope == SCOPE_INTERNAL ? ADDRESS_USABLE_INTERNAL :
						 ADDRESS_USABLE_EXTERNAL;

	if (answer_echo && echo_is_request(ctx, p)) {
		a = address_lookup(&p->tuple.daddr);
		if (a && (a->flags & usable))
			return echo_reply(ctx, p) ? REASON_DROP_REWRITE :
						    REASON_ECHO;
	}
	return address_step(p, scope);
}

#endif
