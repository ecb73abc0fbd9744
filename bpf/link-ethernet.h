/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * link-ethernet.h - devices whose frames begin with an Ethernet header. An entry
 * file selects it, or link-none.h, by MAGLANE_LINK.
 */
#ifndef MAGLANE_LINK_ETHERNET_H
#define MAGLANE_LINK_ETHERNET_H

#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

#include MAGLANE_HOOK

/* Offset of the IP header. */
#define L3_OFF ETH_HLEN

/* The EtherType; 0 when the frame ends inside the header. */
static __always_inline __be16 ctx_protocol(const ctx_t *ctx)
{
	struct ethhdr *eth = ctx_data(ctx);

	return (void *)(eth + 1) > ctx_data_end(ctx) ? 0 : eth->h_proto;
}

/* The header is there: bpf_redirect_neigh() replaces it. 0. */
static __always_inline int ctx_add_macs(ctx_t *ctx)
{
	(void)ctx;
	return 0;
}

/*
 * Swaps the MAC addresses, to send the frame back. 0, or -1 when the Ethernet
 * header is not complete.
 */
static __always_inline int ctx_turn_macs(ctx_t *ctx)
{
	struct ethhdr *eth = ctx_data(ctx);
	__u8 mac[ETH_ALEN];

	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return -1;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	return 0;
}

/* Must the device receive the packet again? Returns no action: it must not. */
static __always_inline int link_uncover(ctx_t *ctx, int *action)
{
	(void)ctx;
	(void)action;
	return 0;
}

#endif
