/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * forward-tc.h - translates packets at TC. Sends those that the stack must not
 * route: there they would be martians, since their source is an address of the
 * node. forward-xdp.h has the same functions.
 */
#ifndef MAGLANE_FORWARD_TC_H
#define MAGLANE_FORWARD_TC_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "config.h"
#include "detour.h"
#include "maps.h"
#include "packet.h"
#include "reject.h"
#include "related.h"
#include "rewrite.h"
#include "route.h"
#include "slow.h"

#include MAGLANE_HOOK

/*
 * Applies a flow's translation to its packet, or to an ICMP error about it.
 * hops: 1 when this node forwards the packet itself. 0, or -1.
 */
static __always_inline int translate(ctx_t *ctx, const struct packet *p,
				     const struct conn *c, __u8 hops)
{
	return p->related ? related_rewrite(ctx, p, c, hops) :
			    rewrite(ctx, p, c, hops);
}

#define LOOPBACK_IFINDEX 1

/*
 * Sends the translated packet in by the loopback device, since only the stack
 * can fragment it or encapsulate it for a lightweight tunnel. On another device
 * it would be a martian, since its source is an address of the node; loopback
 * may accept such packets (net.ipv4.conf.lo.accept_local). The stack decrements
 * the TTL.
 */
static __always_inline int forward_by_stack(ctx_t *ctx, struct packet *p,
					    const struct conn *c, int reason)
{
	struct ethhdr *eth;

	if (translate(ctx, p, c, 0) || ctx_add_macs(ctx))
		return REASON_DROP_REWRITE;
	eth = ctx_data(ctx);
	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return REASON_DROP_REWRITE;
	/* the address of loopback */
	__builtin_memset(eth->h_dest, 0, ETH_ALEN);
	p->action = (__u32)bpf_redirect(LOOPBACK_IFINDEX, BPF_F_INGRESS);
	return reason;
}

/* As packet_way_len(); for a GSO packet the length of one segment. */
static __always_inline __u16 forward_len(ctx_t *ctx, const struct packet *p)
{
	__u8 *tcp = ctx_data(ctx) + (p->l4_off & L4_OFF_MAX);
	__u32 l4_len = sizeof(struct udphdr);

	if (ctx_is_gso(ctx) && !p->related) {
		if (p->tuple.proto == IPPROTO_TCP) {
			if ((void *)(tcp + sizeof(struct tcphdr)) >
			    ctx_data_end(ctx))
				return 0;
			l4_len = (tcp[12] >> 4) * 4;
		}
		return (__u16)(p->l4_off - L3_OFF + l4_len + ctx->gso_size);
	}
	return packet_way_len(p);
}

#define FORWARD_HALVES 16

/*
 * The MTU of the path, for a packet whose `len` exceeds it. Before Linux 5.12
 * the kernel does not return it; then a binary search finds it, with the
 * caller's *fib: the stack of the program has no room for another.
 */
static __always_inline __u32 forward_mtu(ctx_t *ctx, const struct packet *p,
					 const struct tuple *to, __u32 len,
					 struct bpf_fib_lookup *fib)
{
	__u32 fits = 0, too_big = len, size, i;

	if (fib->mtu_result < too_big)
		return fib->mtu_result;
#pragma clang loop unroll(disable)
	for (i = 0; i < FORWARD_HALVES; i++) {
		size = (fits + too_big) / 2;
		if (route_lookup(ctx, p, to, (__u16)size, 0, fib) ==
		    BPF_FIB_LKUP_RET_FRAG_NEEDED)
			too_big = size;
		else
			fits = size;
	}
	return fits;
}

/*
 * Sends by the neighbour table, which then knows that the next hop is in use,
 * and resolves an old or unknown one.
 */
static __always_inline __u32 forward_to_next_hop(const struct bpf_fib_lookup *fib)
{
	struct bpf_redir_neigh nh = { .nh_family = fib->family };

	__builtin_memcpy(nh.ipv6_nh, fib->ipv6_dst, sizeof(nh.ipv6_nh));
	return (__u32)bpf_redirect_neigh(fib->ifindex, &nh, sizeof(nh), 0);
}

/* Handles the saved packet when forward() cannot send it as it is. */
__noinline int forward_unfit(ctx_t *ctx, __u32 reason)
{
	struct packet *p = packet_saved();
	struct bpf_fib_lookup fib;
	struct conn *c;
	__u16 len;

	c = p ? bpf_map_lookup_elem(&connections, &p->tuple) : 0;
	if (!ctx || !c)
		return REASON_DROP_NO_ROUTE;
	len = forward_len(ctx, p);
	if (route_lookup(ctx, p, &c->nat, len, 0, &fib) ==
		    BPF_FIB_LKUP_RET_FRAG_NEEDED &&
	    (p->df || p->related))
		return reject_too_big(ctx, p,
				      forward_mtu(ctx, p, &c->nat, len, &fib));
	return forward_by_stack(ctx, p, c, (int)reason);
}

static __always_inline int forward(ctx_t *ctx, struct packet *p,
				   const struct conn *c, int reason)
{
	struct bpf_fib_lookup fib;
	struct packet *saved;
	long found;

	if (p->ttl <= 1)
		return REASON_DROP_TTL;
	found = route_lookup(ctx, p, &c->nat, forward_len(ctx, p),
			     have_fib_skip_neigh ? FIB_SKIP_NEIGH : 0, &fib);
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED ||
	    found == BPF_FIB_LKUP_RET_UNSUPP_LWT) {
		saved = packet_save(p);
		if (!saved)
			return REASON_DROP_NO_ROUTE;
		reason = forward_unfit(ctx, (__u32)reason);
		p->action = saved->action;
		return reason;
	}
	if (!route_found(found))
		return REASON_DROP_NO_ROUTE;
	if (translate(ctx, p, c, 1))
		return REASON_DROP_REWRITE;
	if (ctx_add_macs(ctx))
		return REASON_DROP_REWRITE;
	p->action = forward_to_next_hop(&fib);
	return reason;
}

/* Sends the packet back to its pod, with the MAC addresses swapped. */
static __always_inline int forward_hairpin(ctx_t *ctx, struct packet *p,
					   const struct conn *c)
{
	if (translate(ctx, p, c, 0) || ctx_turn_macs(ctx))
		return REASON_DROP_REWRITE;
	p->action = (__u32)bpf_redirect(ctx->ifindex, 0);
	return REASON_TO_SELF;
}

/* Sends a packet of the client to the backend of `c`. */
static __always_inline int forward_request(ctx_t *ctx, struct packet *p,
					   const struct conn *c, __u8 scope)
{
	if ((c->flags & CONN_HAIRPIN) && scope == SCOPE_INTERNAL)
		return forward_hairpin(ctx, p, c);
	if (!(c->flags & CONN_LOCAL) && scope == SCOPE_EXTERNAL)
		return forward(ctx, p, c, REASON_TO_REMOTE);
	if (translate(ctx, p, c, 0))
		return REASON_DROP_REWRITE;
	return c->flags & CONN_LOCAL ? REASON_TO_LOCAL : REASON_TO_ROUTED;
}

/*
 * Are a pod's replies in this flow sent where they leave the pod, not where the
 * stack sends them out? Yes for a pod that was not known to be here, for a pod
 * that is its own client, and where the stack would take another path.
 */
static __always_inline int forward_answers_here(const struct conn *c)
{
	if (c->flags & CONN_DETOUR)
		return 1;
	return (c->flags & CONN_SNAT) &&
	       (c->flags & (CONN_LOCAL | CONN_HAIRPIN)) != CONN_LOCAL;
}

/* Does another hook send the replies of the flow? */
static __always_inline int forward_answers_elsewhere(const struct conn *c,
						     __u8 scope)
{
	if (scope == SCOPE_EXTERNAL)
		return c->flags & (CONN_NODE | CONN_HAIRPIN | CONN_LOCAL);
	return (c->flags & CONN_NODE) || !forward_answers_here(c);
}

/* Sends a reply to its client. */
static __always_inline int forward_answer(ctx_t *ctx, struct packet *p,
					  const struct conn *c)
{
	if (c->flags & CONN_HAIRPIN)
		return forward_hairpin(ctx, p, c);
	/* from a pod: see forward_answers_here() */
	return forward(ctx, p, c, REASON_TO_CLIENT);
}

#endif
