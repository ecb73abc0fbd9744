/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * forward-xdp.h - sends a translated packet from XDP, without the stack;
 * forward-tc.h has the same functions. An entry file selects one by
 * MAGLANE_FORWARD.
 */
#ifndef MAGLANE_FORWARD_XDP_H
#define MAGLANE_FORWARD_XDP_H

#include <linux/if_ether.h>

#include "config.h"
#include "maps.h"
#include "packet.h"
#include "rewrite.h"
#include "route.h"

#include MAGLANE_HOOK

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

/*
 * Must this packet go by TC to confirm the next hop? XDP neither marks a
 * neighbour entry as used nor renews an old one, so a neighbour with a changed
 * MAC address would stay unnoticed.
 */
static __always_inline int forward_confirm(const struct bpf_fib_lookup *fib)
{
	__u32 slot = (fib->dmac[5] ^ fib->ifindex) % NEXT_HOP_SLOTS;
	__u32 *last, now;

	if (!confirm_seconds)
		return 0;
	last = bpf_map_lookup_elem(&next_hops, &slot);
	now = (__u32)bpf_jiffies64();
	if (!last || now - *last <= confirm_seconds * hz)
		return 0;
	*last = now;
	return 1;
}

/*
 * Checks everything that XDP cannot do before it changes a byte, so that TC
 * gets the original packet.
 */
static __always_inline int forward(ctx_t *ctx, struct packet *p,
				   const struct conn *c, int reason)
{
	struct bpf_fib_lookup fib;
	__u32 ifindex;

	if (route_lookup(ctx, p, &c->nat, packet_way_len(p), 0, &fib) !=
	    BPF_FIB_LKUP_RET_SUCCESS)
		return REASON_PASS_FIB;
	ifindex = fib.ifindex;
	if (ifindex != ctx->ingress_ifindex &&
	    (!bpf_map_lookup_elem(&xdp_devices, &ifindex) || ctx_has_frags(ctx)))
		return REASON_PASS_DEVICE; /* not every driver sends buffers of another device */
	if (forward_confirm(&fib))
		return REASON_PASS_FIB;
	if (rewrite(ctx, p, c, 1) || forward_macs(ctx, &fib))
		return REASON_DROP_REWRITE;
	if (ifindex == ctx->ingress_ifindex && !xdp_tx_by_redirect)
		p->action = XDP_TX;
	else
		p->action = (__u32)bpf_redirect(ifindex, 0);
	return reason;
}

/* Sends a packet of the client to the backend of `c`. */
static __always_inline int forward_request(ctx_t *ctx, struct packet *p,
					   const struct conn *c, __u8 scope)
{
	(void)scope;
	if (c->flags & (CONN_LOCAL | CONN_HAIRPIN))
		return REASON_PASS_LOCAL;
	return forward(ctx, p, c, REASON_TO_REMOTE);
}

/* Does another hook send the replies of the flow? */
static __always_inline int forward_answers_elsewhere(const struct conn *c,
						     __u8 scope)
{
	(void)scope;
	return c->flags & (CONN_NODE | CONN_HAIRPIN);
}

/* Sends a reply to its client. */
static __always_inline int forward_answer(ctx_t *ctx, struct packet *p,
					  const struct conn *c)
{
	return forward(ctx, p, c, REASON_TO_CLIENT);
}

/* Flows with a local backend are left to TC, and so are their detours. */
static __always_inline int forward_detours(ctx_t *ctx)
{
	(void)ctx;
	return 0;
}

#endif
