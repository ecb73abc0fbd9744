/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ctx.h - accessors for the packet of an XDP frame or a TC skb: its bytes, its
 * device, its link layer.
 *
 * An entry file that defines MAGLANE_XDP gets the XDP versions; the callers are
 * written once.
 */
#ifndef MAGLANE_CTX_H
#define MAGLANE_CTX_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <bpf/bpf_helpers.h>

#include "config.h"
#include "maps.h"

#ifdef MAGLANE_XDP
typedef struct xdp_md ctx_t;
#else
typedef struct __sk_buff ctx_t;
#endif

/*
 * In assembly, because clang computes &ctx->data once and keeps the pointer,
 * and the verifier accepts loads from the context at constant offsets only.
 */
#define CTX_POINTER(ctx, field)                                        \
	({                                                             \
		void *__p;                                             \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                  \
			     : "=r"(__p)                               \
			     : "r"(ctx),                               \
			       "i"(__builtin_offsetof(ctx_t, field))); \
		__p;                                                   \
	})

static __always_inline void *ctx_data(const ctx_t *ctx)
{
	return CTX_POINTER(ctx, data);
}

static __always_inline void *ctx_data_end(const ctx_t *ctx)
{
	return CTX_POINTER(ctx, data_end);
}

/*
 * Bytes of the frame that are known without a helper call: in XDP those of the
 * first buffer.
 */
static __always_inline __u32 ctx_head_len(const ctx_t *ctx)
{
#ifdef MAGLANE_XDP
	return (__u32)(ctx->data_end - ctx->data);
#else
	return ctx->len;
#endif
}

/* Bytes of the whole frame, including all its buffers. */
static __always_inline __u32 ctx_len(ctx_t *ctx)
{
#ifdef MAGLANE_XDP
	if (have_xdp_frags)
		return (__u32)bpf_xdp_get_buff_len(ctx);
#endif
	return ctx_head_len(ctx);
}

/*
 * Does the frame continue behind its directly readable bytes? For an skb it
 * does not matter.
 */
static __always_inline int ctx_has_frags(ctx_t *ctx)
{
#ifdef MAGLANE_XDP
	return have_xdp_frags && ctx_len(ctx) > ctx_head_len(ctx);
#else
	(void)ctx;
	return 0;
#endif
}

static __always_inline __u32 ctx_ifindex(const ctx_t *ctx)
{
#ifdef MAGLANE_XDP
	return ctx->ingress_ifindex;
#else
	return ctx->ifindex;
#endif
}

/*
 * Is it a frame of a VLAN? Such a frame belongs to the VLAN's device, which
 * receives it again without the tag. The bytes of an skb do not include the
 * tag.
 */
static __always_inline int ctx_is_tagged(const ctx_t *ctx)
{
#ifdef MAGLANE_XDP
	(void)ctx;
	return 0;
#else
	return ctx->vlan_present;
#endif
}

/*
 * Was the frame sent to this node? A promiscuous device also receives flooded
 * and group frames, which are for other hosts. A pod's frames (`pod`) may pass
 * a bridge, whose MAC address is not that of the veth.
 */
static __always_inline int ctx_is_ours(const ctx_t *ctx, int pod)
{
#ifdef MAGLANE_XDP
	struct ethhdr *eth = ctx_data(ctx);
	__u32 index = ctx->ingress_ifindex % DEVICE_MACS;
	struct device_mac *own = bpf_map_lookup_elem(&device_macs, &index);

	(void)pod;
	if ((void *)(eth + 1) > ctx_data_end(ctx) || (eth->h_dest[0] & 1))
		return 0;
	if (!own || own->ifindex != ctx->ingress_ifindex)
		return 1; /* unknown: the device has checked it */
	return *(__u32 *)eth->h_dest == *(__u32 *)own->mac &&
	       *(__u16 *)(eth->h_dest + 4) == *(__u16 *)(own->mac + 4);
#else
	return ctx->pkt_type == PACKET_HOST ||
	       (pod && ctx->pkt_type == PACKET_OTHERHOST);
#endif
}

/*
 * The EtherType, with or without an Ethernet header; 0 when the frame ends
 * inside the header.
 */
static __always_inline __be16 ctx_protocol(const ctx_t *ctx)
{
#ifdef MAGLANE_L3
	return (__be16)ctx->protocol;
#else
	struct ethhdr *eth = ctx_data(ctx);

	return (void *)(eth + 1) > ctx_data_end(ctx) ? 0 : eth->h_proto;
#endif
}

/*
 * bpf_redirect_neigh() removes the link layer header before it adds that of the
 * egress device, if that has one. So a packet from a device without one gets
 * one here. 0 or -1.
 */
#ifdef MAGLANE_L3
#define CTX_HAS_NO_MACS 1
static __always_inline int ctx_add_macs(ctx_t *ctx)
{
	__u16 protocol = (__u16)ctx->protocol;

	if (bpf_skb_change_head(ctx, ETH_HLEN, 0))
		return -1;
	return (int)bpf_skb_store_bytes(ctx, 2 * ETH_ALEN, &protocol,
					sizeof(protocol), 0);
}
#else
#define CTX_HAS_NO_MACS 0
#define ctx_add_macs(ctx) 0
#endif

/*
 * Swaps the MAC addresses, to send the frame back. 0, or -1 when the Ethernet
 * header is not complete; a device without a link layer has nothing to swap.
 */
static __always_inline int ctx_turn_macs(ctx_t *ctx)
{
#ifdef MAGLANE_L3
	(void)ctx;
#else
	struct ethhdr *eth = ctx_data(ctx);
	__u8 mac[ETH_ALEN];

	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return -1;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
#endif
	return 0;
}

/*
 * Does the packet represent several (GSO), each no longer than the path takes?
 */
static __always_inline int ctx_is_gso(const ctx_t *ctx)
{
#ifdef MAGLANE_XDP
	(void)ctx;
	return 0;
#else
	return ctx->gso_size != 0;
#endif
}

/*
 * Makes the first `len` bytes directly readable if they are not; in XDP they
 * already are.
 *
 * Callers ask for headers and no more. One byte of payload costs a copy of the
 * head of each packet that TCP sends: its clone can then not be written in
 * place. It also splits a UDP packet that GRO built of whole datagrams
 * (SKB_GSO_FRAGLIST) at the wrong place, and kernels before 6.16 send that as
 * garbage. Such a packet has its headers in the head.
 */
static __always_inline void ctx_pull(ctx_t *ctx, __u32 len)
{
#ifdef MAGLANE_XDP
	(void)ctx;
	(void)len;
#else
	__u32 there = (__u32)(ctx_data_end(ctx) - ctx_data(ctx));

	/* a short packet may already be linear: nothing to pull */
	if (there < len && there < ctx->len)
		bpf_skb_pull_data(ctx, len < ctx->len ? len : ctx->len);
#endif
}

#ifndef MAGLANE_XDP
static __always_inline __u32 ctx_tc_index(const ctx_t *ctx)
{
	return (__u32)(unsigned long)CTX_POINTER(ctx, tc_index);
}
#endif

/*
 * Copies bytes out of the packet, from any buffer; in XDP from the first one
 * only. 0 or -1.
 */
static __always_inline int ctx_load(ctx_t *ctx, __u32 off, void *to, __u32 len)
{
#ifdef MAGLANE_XDP
	void *from = ctx_data(ctx) + off;

	if (from + len > ctx_data_end(ctx))
		return -1;
	__builtin_memcpy(to, from, len);
	return 0;
#else
	return bpf_skb_load_bytes(ctx, off, to, len) ? -1 : 0;
#endif
}

#endif
