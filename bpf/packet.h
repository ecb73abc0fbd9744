/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * packet.h - what one parse of a frame found, and how a step ends.
 */
#ifndef MAGLANE_PACKET_H
#define MAGLANE_PACKET_H

#include <linux/if_ether.h>
#include <linux/types.h>

#include "abi.h"

/* Steps return a final enum reason, or this to go on. */
#define STEP_NEXT (-1)

#define L3_OFF ETH_HLEN
/* Ethernet, the longest IPv4 header, a TCP header without options. */
#define HEADERS_MAX (ETH_HLEN + 60 + 20)
/* IPv6 extension headers may push the L4 header no further than this. */
#define L4_OFF_MAX 0xff

#define TH_FIN 0x01
#define TH_SYN 0x02
#define TH_RST 0x04
#define TH_ACK 0x10

enum packet_fragment {
	FRAGMENT_NONE = 0,
	FRAGMENT_FIRST,
	FRAGMENT_LATER, /* no L4 header */
};

struct packet {
	struct tuple tuple;
	__u32 len;    /* bytes of the frame */
	__u32 ip_len; /* bytes of the IP packet by its own header */
	__u32 l4_off; /* bytes from the start of the frame */
	__u32 inner_l4_off; /* related: of the quoted packet */
	__u8 v4;
	/*
	 * An ICMP error about a flow: l4_off is ICMP's, and the tuple that of the
	 * packet it quotes turned round, which is the way the error goes.
	 */
	__u8 related;
	__u8 tcp_flags;
	__u8 ttl;
	__u8 tos;
	__u8 df; /* must not be cut: IPv4 with DF, IPv6 always */
	__u8 fragment; /* enum packet_fragment */
	__u8 pad;
	__u32 fragment_id;
	__u32 action; /* set by the step that sends: what finish() returns */
};

/* Ports are the first four bytes of TCP and UDP alike. */
struct ports {
	__be16 source;
	__be16 dest;
};

static __always_inline int addr_equal(const struct addr *a,
				      const struct addr *b)
{
	const __u32 *x = (const __u32 *)a->b, *y = (const __u32 *)b->b;

	return !((x[3] ^ y[3]) | (x[2] ^ y[2]) | (x[1] ^ y[1]) | (x[0] ^ y[0]));
}

static __always_inline int addr_is_zero(const struct addr *a)
{
	const __u32 *x = (const __u32 *)a->b;

	return !(x[0] | x[1] | x[2] | x[3]);
}

static __always_inline void addr_from_v4(struct addr *a, __be32 ip)
{
	__u32 *x = (__u32 *)a->b;

	x[0] = 0;
	x[1] = 0;
	x[2] = __builtin_bswap32(0xffff);
	x[3] = ip;
}

static __always_inline __be32 addr_v4(const struct addr *a)
{
	return ((const __u32 *)a->b)[3];
}

/* The tuple of the opposite direction. */
static __always_inline void tuple_turn(const struct tuple *t, struct tuple *out)
{
	out->saddr = t->daddr;
	out->daddr = t->saddr;
	out->sport = t->dport;
	out->dport = t->sport;
	out->proto = t->proto;
	out->pad[0] = out->pad[1] = out->pad[2] = 0;
}

#endif
