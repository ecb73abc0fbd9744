/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * forward.h - the way out of a translated packet that the stack must not
 * route: with a source of the node's own it would be a martian there.
 */
#ifndef MAGLANE_FORWARD_H
#define MAGLANE_FORWARD_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>

#include "config.h"
#include "ctx.h"
#include "maps.h"
#include "packet.h"
#include "translate.h"
#ifndef MAGLANE_XDP
#include "reject.h"
#endif

/* From <sys/socket.h>, which has no place in a BPF program. */
#define AF_INET 2
#define AF_INET6 10

static __always_inline long forward_lookup(ctx_t *ctx, const struct packet *p,
					   const struct tuple *to,
					   struct bpf_fib_lookup *fib)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = ctx_ifindex(ctx);
	fib->l4_protocol = to->proto;
	fib->sport = bpf_htons(to->sport);
	fib->dport = bpf_htons(to->dport);
	if (p->v4) {
		fib->family = AF_INET;
		fib->tos = p->tos;
		fib->ipv4_src = addr_v4(&to->saddr);
		fib->ipv4_dst = addr_v4(&to->daddr);
	} else {
		fib->family = AF_INET6;
		fib->flowinfo = bpf_htonl((__u32)p->tos << 20);
		__builtin_memcpy(fib->ipv6_src, &to->saddr, 16);
		__builtin_memcpy(fib->ipv6_dst, &to->daddr, 16);
	}
	/* what the device will cut into segments itself has no size of its own */
	fib->tot_len = ctx_is_gso(ctx) ? 0 : (__u16)p->ip_len;
	return bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
}

static __always_inline int forward_macs(ctx_t *ctx,
					const struct bpf_fib_lookup *fib)
{
	struct ethhdr *eth = ctx_data(ctx);

	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return -1;
	__builtin_memcpy(eth->h_dest, fib->dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, fib->smac, ETH_ALEN);
	return 0;
}

#ifdef MAGLANE_XDP

/*
 * Everything that XDP cannot do is found out before the first byte is changed,
 * so that TC gets the packet as it came.
 */
static __always_inline int forward(ctx_t *ctx, struct packet *p,
				   const struct conn *c, int reason)
{
	struct bpf_fib_lookup fib;
	__u32 ifindex;

	if (forward_lookup(ctx, p, &c->nat, &fib) != BPF_FIB_LKUP_RET_SUCCESS)
		return REASON_PASS_FIB;
	ifindex = fib.ifindex;
	if (ifindex != ctx->ingress_ifindex &&
	    !bpf_map_lookup_elem(&xdp_devices, &ifindex))
		return REASON_PASS_DEVICE;
	if (translate(ctx, p, c, 1) || forward_macs(ctx, &fib))
		return REASON_DROP_REWRITE;
	if (ifindex == ctx->ingress_ifindex && !xdp_tx_by_redirect)
		p->action = XDP_TX;
	else
		p->action = (__u32)bpf_redirect(ifindex, 0);
	return reason;
}

#else

static __always_inline int forward(ctx_t *ctx, struct packet *p,
				   const struct conn *c, int reason)
{
	struct bpf_fib_lookup fib;
	__u16 *dmac = (__u16 *)fib.dmac;
	long found;

	if (p->ttl <= 1)
		return REASON_DROP_TTL;
	found = forward_lookup(ctx, p, &c->nat, &fib);
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return reject_too_big(ctx, p, fib.mtu_result);
	if (found != BPF_FIB_LKUP_RET_SUCCESS &&
	    found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return REASON_DROP_NO_ROUTE;
	if (translate(ctx, p, c, 1))
		return REASON_DROP_REWRITE;
	/* NO_NEIGH, or a device without link layer: the kernel fills it in */
	if (found == BPF_FIB_LKUP_RET_NO_NEIGH ||
	    !(dmac[0] | dmac[1] | dmac[2])) {
		p->action = (__u32)bpf_redirect_neigh(fib.ifindex, 0, 0, 0);
		return reason;
	}
	if (forward_macs(ctx, &fib))
		return REASON_DROP_REWRITE;
	p->action = (__u32)bpf_redirect(fib.ifindex, 0);
	return reason;
}

/* Back to the pod that sent it: the link layer is only turned round. */
static __always_inline int forward_hairpin(ctx_t *ctx, struct packet *p,
					   const struct conn *c)
{
	__u8 mac[ETH_ALEN];
	struct ethhdr *eth;

	if (translate(ctx, p, c, 0))
		return REASON_DROP_REWRITE;
	eth = ctx_data(ctx);
	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return REASON_DROP_REWRITE;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	p->action = (__u32)bpf_redirect(ctx->ifindex, 0);
	return REASON_TO_SELF;
}

#endif

#endif
