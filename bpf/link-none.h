/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * link-none.h - devices whose packets begin with the IP header: tun, WireGuard,
 * IPIP. In TC only: such devices have no XDP, or an emulated one.
 */
#ifndef MAGLANE_LINK_NONE_H
#define MAGLANE_LINK_NONE_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include MAGLANE_HOOK

/* Offset of the IP header. */
#define L3_OFF 0

static __always_inline __be16 ctx_protocol(const ctx_t *ctx)
{
	return (__be16)ctx->protocol;
}

/*
 * bpf_redirect_neigh() removes the link layer header before it adds that of the
 * egress device, if that has one. So a packet from a device without one gets
 * one here. 0 or -1.
 */
static __always_inline int ctx_add_macs(ctx_t *ctx)
{
	__u16 protocol = (__u16)ctx->protocol;

	if (bpf_skb_change_head(ctx, ETH_HLEN, 0))
		return -1;
	return (int)bpf_skb_store_bytes(ctx, 2 * ETH_ALEN, &protocol,
					sizeof(protocol), 0);
}

/* There are no addresses to swap. 0. */
static __always_inline int ctx_turn_macs(ctx_t *ctx)
{
	(void)ctx;
	return 0;
}

/* In tc_index: the packet arrives for the second time. */
#define UNCOVERED 0x6d6d

/*
 * Does the packet begin with an IP header whose length is that of the packet?
 */
static __always_inline int l3_in_place(struct __sk_buff *ctx)
{
	struct iphdr *ip4 = ctx_data(ctx);
	struct ipv6hdr *ip6 = ctx_data(ctx);

	if (ctx->protocol == bpf_htons(ETH_P_IP) &&
	    (void *)(ip4 + 1) <= ctx_data_end(ctx))
		return ip4->version == 4 && bpf_ntohs(ip4->tot_len) == ctx->len;
	if (ctx->protocol == bpf_htons(ETH_P_IPV6) &&
	    (void *)(ip6 + 1) <= ctx_data_end(ctx))
		return ip6->version == 6 &&
		       bpf_ntohs(ip6->payload_len) + sizeof(*ip6) == ctx->len;
	return 0;
}

/*
 * Are there other headers in front of the IP header? Before Linux 5.14 IPIP,
 * SIT and GRE leave the headers of the outer packet there, where Ethernet has
 * its own.
 */
__noinline int l3_behind_outer(struct __sk_buff *ctx)
{
	__u32 first[sizeof(struct iphdr) / 4], ip[sizeof(struct iphdr) / 4], i, differ = 0;

	if (!ctx || l3_in_place(ctx))
		return 0;
	if (bpf_skb_load_bytes(ctx, 0, first, sizeof(first)) ||
	    bpf_skb_load_bytes_relative(ctx, 0, ip, sizeof(ip),
					BPF_HDR_START_NET))
		return 0;
	for (i = 0; i < sizeof(ip) / 4; i++)
		differ |= first[i] ^ ip[i];
	return differ != 0;
}

/*
 * Must the device receive the packet again? It removes the outer headers then,
 * once.
 */
static __always_inline int link_uncover(ctx_t *ctx, int *action)
{
	if (ctx_tc_index(ctx) == UNCOVERED) {
		ctx->tc_index = 0;
		return 0;
	}
	if (!l3_behind_outer(ctx))
		return 0;
	ctx->tc_index = UNCOVERED;
	*action = bpf_redirect(ctx->ifindex, BPF_F_INGRESS);
	return 1;
}

#endif
