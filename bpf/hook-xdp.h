/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * hook-xdp.h - all that a frame in XDP does otherwise than an skb in TC: its
 * type, its bytes, its device, its checksum, the verdict. hook-tc.h has the same
 * functions. An entry file selects one by MAGLANE_HOOK, and all callers are
 * written once.
 */
#ifndef MAGLANE_HOOK_XDP_H
#define MAGLANE_HOOK_XDP_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include "config.h"
#include "csum.h"
#include "ctx.h"
#include "maps.h"
#include "packet.h"

typedef struct xdp_md ctx_t;

/* Where packets that this node's stack must see are left to it. */
#define HOOK_BEFORE_STACK 1

#define ACTION_PASS XDP_PASS
#define ACTION_DROP XDP_DROP

/* Bytes of the first buffer, which are known without a helper call. */
static __always_inline __u32 ctx_head_len(const ctx_t *ctx)
{
	return (__u32)(ctx->data_end - ctx->data);
}

/* Bytes of the whole frame, including all its buffers. */
static __always_inline __u32 ctx_len(ctx_t *ctx)
{
	if (have_xdp_frags)
		return (__u32)bpf_xdp_get_buff_len(ctx);
	return ctx_head_len(ctx);
}

/* Does the frame continue behind its directly readable bytes? */
static __always_inline int ctx_has_frags(ctx_t *ctx)
{
	return have_xdp_frags && ctx_len(ctx) > ctx_head_len(ctx);
}

static __always_inline __u32 ctx_ifindex(const ctx_t *ctx)
{
	return ctx->ingress_ifindex;
}

/* A tag is in the bytes, and its EtherType is none that we parse. */
static __always_inline int ctx_is_tagged(const ctx_t *ctx)
{
	(void)ctx;
	return 0;
}

/*
 * Was the frame sent to this node? A promiscuous device also receives flooded
 * and group frames, which are for other hosts.
 */
static __always_inline int ctx_is_ours(const ctx_t *ctx)
{
	struct ethhdr *eth = ctx_data(ctx);
	__u32 index = ctx->ingress_ifindex % DEVICE_MACS;
	struct device_mac *own = bpf_map_lookup_elem(&device_macs, &index);

	if ((void *)(eth + 1) > ctx_data_end(ctx) || (eth->h_dest[0] & 1))
		return 0;
	if (!own || own->ifindex != ctx->ingress_ifindex)
		return 1; /* unknown: the device has checked it */
	return *(__u32 *)eth->h_dest == *(__u32 *)own->mac &&
	       *(__u16 *)(eth->h_dest + 4) == *(__u16 *)(own->mac + 4);
}

/* GRO merges packets after XDP only. */
static __always_inline int ctx_is_gso(const ctx_t *ctx)
{
	(void)ctx;
	return 0;
}

/* The first buffer is directly readable. */
static __always_inline void ctx_pull(ctx_t *ctx, __u32 len)
{
	(void)ctx;
	(void)len;
}

/* Copies bytes out of the first buffer. 0 or -1. */
static __always_inline int ctx_load(ctx_t *ctx, __u32 off, void *to, __u32 len)
{
	void *from = ctx_data(ctx) + off;

	if (from + len > ctx_data_end(ctx))
		return -1;
	__builtin_memcpy(to, from, len);
	return 0;
}

/* A frame has no mark for policy routing yet. */
static __always_inline __u32 ctx_mark(const ctx_t *ctx)
{
	(void)ctx;
	return 0;
}

/*
 * Adds the flow's difference to the L4 checksum before the header is rewritten.
 * In XDP there is no checksum offload: the whole difference goes into the field
 * at `check_off`. 0 or -1.
 */
static __always_inline int csum_before(void *data, void *end, const struct packet *p, const struct conn *c, __u32 check_off)
{
	__u16 *check = data + check_off;
	int udp = p->tuple.proto == IPPROTO_UDP;

	if ((void *)(check + 1) > end)
		return -1;
	if (udp && !*check)
		return 0; /* no checksum */
	*check = csum_update(*check, (__u64)c->addr_diff + c->port_diff);
	if (udp && !*check)
		*check = 0xffff;
	return 0;
}

/* The same after it: nothing is left. */
static __always_inline int csum_after(ctx_t *ctx, const struct packet *p,
				      const struct conn *c, __u32 check_off)
{
	(void)ctx;
	(void)p;
	(void)c;
	(void)check_off;
	return 0;
}

#include MAGLANE_LINK

#endif
