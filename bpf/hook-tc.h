/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * hook-tc.h - all that an skb in TC does otherwise than a frame in XDP; see
 * hook-xdp.h.
 */
#ifndef MAGLANE_HOOK_TC_H
#define MAGLANE_HOOK_TC_H

#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "config.h"
#include "ctx.h"
#include "packet.h"

typedef struct __sk_buff ctx_t;

#define HOOK_BEFORE_STACK 0

/* UNSPEC, not OK: programs of others after ours see the packet too. */
#define ACTION_PASS TC_ACT_UNSPEC
#define ACTION_DROP TC_ACT_SHOT

/* Linux 6.16: without it CHECKSUM_COMPLETE of IPv6 is corrupted. */
#define L4_CSUM_IPV6 (1ULL << 7)

static __always_inline __u32 ctx_head_len(const ctx_t *ctx)
{
	return ctx->len;
}

/* Bytes of the whole frame, including all its buffers. */
static __always_inline __u32 ctx_len(ctx_t *ctx)
{
	return ctx->len;
}

static __always_inline __u32 ctx_ifindex(const ctx_t *ctx)
{
	return ctx->ifindex;
}

/*
 * Is it a frame of a VLAN? Such a frame belongs to the VLAN's device, which
 * receives it again without the tag. The bytes of an skb do not include the
 * tag.
 */
static __always_inline int ctx_is_tagged(const ctx_t *ctx)
{
	return ctx->vlan_present;
}

/*
 * Was the frame sent to this node? A pod's frames (`pod`) may pass a bridge,
 * whose MAC address is not that of the veth.
 */
static __always_inline int ctx_is_ours(const ctx_t *ctx, int pod)
{
	return ctx->pkt_type == PACKET_HOST ||
	       (pod && ctx->pkt_type == PACKET_OTHERHOST);
}

/*
 * Does the packet represent several (GSO), each no longer than the path takes?
 */
static __always_inline int ctx_is_gso(const ctx_t *ctx)
{
	return ctx->gso_size != 0;
}

/*
 * Makes the first `len` bytes directly readable if they are not.
 *
 * Callers ask for headers and no more. One byte of payload costs a copy of the
 * head of each packet that TCP sends: its clone can then not be written in
 * place. It also splits a UDP packet that GRO built of whole datagrams
 * (SKB_GSO_FRAGLIST) at the wrong place, and kernels before 6.16 send that as
 * garbage. Such a packet has its headers in the head.
 */
static __always_inline void ctx_pull(ctx_t *ctx, __u32 len)
{
	__u32 there = (__u32)(ctx_data_end(ctx) - ctx_data(ctx));

	/* a short packet may already be linear: nothing to pull */
	if (there < len && there < ctx->len)
		bpf_skb_pull_data(ctx, len < ctx->len ? len : ctx->len);
}

/* Copies bytes out of the packet, from any buffer. 0 or -1. */
static __always_inline int ctx_load(ctx_t *ctx, __u32 off, void *to, __u32 len)
{
	return bpf_skb_load_bytes(ctx, off, to, len) ? -1 : 0;
}

/* The mark for policy routing, or 0. */
static __always_inline __u32 ctx_mark(const ctx_t *ctx)
{
	return have_fib_mark ? ctx->mark : 0;
}

static __always_inline __u32 ctx_tc_index(const ctx_t *ctx)
{
	return (__u32)(unsigned long)CTX_POINTER(ctx, tc_index);
}

/*
 * Adds the flow's difference to the L4 checksum before the header is rewritten:
 * nothing yet.
 */
static __always_inline int csum_before(void *data, void *end, const struct packet *p, const struct conn *c, __u32 check_off)
{
	(void)data;
	(void)end;
	(void)p;
	(void)c;
	(void)check_off;
	return 0;
}

/*
 * The same after it. The helper knows the content of the field at `check_off`:
 * in a CHECKSUM_PARTIAL skb only the sum of the pseudo header, which excludes
 * the ports. 0 or -1.
 */
static __always_inline int csum_after(ctx_t *ctx, const struct packet *p,
				      const struct conn *c, __u32 check_off)
{
	__u64 udp = p->tuple.proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u64 v6 = have_csum_ipv6 && !p->v4 ? L4_CSUM_IPV6 : 0;

	if (bpf_l4_csum_replace(ctx, check_off, 0, c->addr_diff,
				BPF_F_PSEUDO_HDR | udp | v6))
		return -1;
	if (bpf_l4_csum_replace(ctx, check_off, 0, c->port_diff, udp))
		return -1;
	return 0;
}

#include MAGLANE_LINK

#endif
