/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * rewrite.h - applies a flow's translation to the packet: addresses, ports,
 * checksums and, if this node routes it, TTL.
 */
#ifndef MAGLANE_REWRITE_H
#define MAGLANE_REWRITE_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "config.h"
#include "csum.h"
#include "packet.h"

#include MAGLANE_HOOK

/* hops: 1 when this node forwards the packet itself, else 0. */
static __always_inline int rewrite_l3(void *data, void *end,
				      const struct packet *p,
				      const struct tuple *to, __u32 addr_diff,
				      __u8 hops)
{
	if (p->v4) {
		struct iphdr *ip = data + L3_OFF;

		if ((void *)(ip + 1) > end)
			return -1;
		ip->saddr = addr_v4(&to->saddr);
		ip->daddr = addr_v4(&to->daddr);
		/* TTL is the high byte of its 16-bit word */
		ip->check = csum_update(ip->check,
					(__u64)addr_diff +
						(hops ? (__u16)~bpf_htons(0x0100) : 0));
		ip->ttl -= hops;
	} else {
		struct ipv6hdr *ip = data + L3_OFF;

		if ((void *)(ip + 1) > end)
			return -1;
		__builtin_memcpy(&ip->saddr, &to->saddr, sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, &to->daddr, sizeof(ip->daddr));
		ip->hop_limit -= hops;
	}
	return 0;
}

static __always_inline __u32 rewrite_check_off(const struct packet *p)
{
	return p->tuple.proto == IPPROTO_TCP ?
		       __builtin_offsetof(struct tcphdr, check) :
		       __builtin_offsetof(struct udphdr, check);
}

/* 0, or -1 when the packet could not be changed. */
static __always_inline int rewrite(ctx_t *ctx, const struct packet *p,
				   const struct conn *c, __u8 hops)
{
	void *data = ctx_data(ctx), *end = ctx_data_end(ctx);
	__u32 l4_off = p->l4_off & L4_OFF_MAX;
	struct ports *ports = data + l4_off;

	if (p->fragment == FRAGMENT_LATER)
		return rewrite_l3(data, end, p, &c->nat, c->addr_diff, hops);
	if ((void *)(ports + 1) > end)
		return -1;
	if (csum_before(data, end, p, c, l4_off + rewrite_check_off(p)) ||
	    rewrite_l3(data, end, p, &c->nat, c->addr_diff, hops))
		return -1;
	ports->source = bpf_htons(c->nat.sport);
	ports->dest = bpf_htons(c->nat.dport);
	return csum_after(ctx, p, c, l4_off + rewrite_check_off(p));
}

#endif
