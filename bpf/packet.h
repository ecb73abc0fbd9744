/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * packet.h - the result of parsing a frame, and how a step ends.
 */
#ifndef MAGLANE_PACKET_H
#define MAGLANE_PACKET_H

#include <linux/types.h>

#include "abi.h"

/* A step returns a final enum reason, or this to continue. */
#define STEP_NEXT (-1)

/* Largest offset of the L4 header, behind IPv6 extension headers. A mask. */
#define L4_OFF_MAX 0x1ff

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
	__u32 len;          /* bytes of the frame */
	__u32 ip_len;       /* bytes of the IP packet by its header, or of the whole BIG TCP packet */
	__u32 l4_off;       /* bytes from the start of the frame */
	__u16 inner_l4_off; /* related: L4 offset of the quoted packet */
	__u16 first_len;    /* a later fragment: IP length of the first one, bytes */
	__u8 v4;
	/*
	 * An ICMP error about a flow: l4_off is the offset of the ICMP header. The
	 * tuple is that of the quoted packet turned round, which is the direction of
	 * the error.
	 */
	__u8 related;
	__u8 tcp_flags;
	__u8 ttl;
	__u8 tos;
	__u8 df;       /* must not be fragmented: IPv4 with DF, IPv6 always */
	__u8 fragment; /* enum packet_fragment */
	__u8 silent;   /* TCP of a pod whose peer has not answered for long */
	__u32 fragment_id;
	__u32 action; /* set by the step that sends, returned by finish() */
};

/* TCP and UDP both begin with the ports. */
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

/* Is it ::ffff:a.b.c.d, the form of IPv4 in the maps? */
static __always_inline int addr_is_mapped(const struct addr *a)
{
	const __u32 *x = (const __u32 *)a->b;

	return !(x[0] | x[1] | (x[2] ^ __builtin_bswap32(0xffff)));
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

/*
 * Is it an address that no sender can have: of this host, of a group, or none?
 * A reply would loop in this host, or reach many. 240/4 is accepted as a
 * client, as in the node's own stack.
 */
static __always_inline int addr_is_martian(const struct addr *a, int v4)
{
	const __u8 *b = a->b;
	const __u32 *x = (const __u32 *)b;

	if (v4) /* 0/8, 127/8, 224/4, 255.255.255.255 */
		return b[12] == 0 || b[12] == 127 || (b[12] & 0xf0) == 0xe0 ||
		       x[3] == 0xffffffff;
	/* :: and ::1, ff00::/8 */
	return b[0] == 0xff || (!(x[0] | x[1] | x[2]) &&
				(x[3] == 0 ||
				 x[3] == __builtin_bswap32(1)));
}

/*
 * IP length to route the packet by: for a later fragment at least that of the
 * first one. If that one goes by the stack, which may wait for all fragments,
 * so do the others.
 */
static __always_inline __u16 packet_way_len(const struct packet *p)
{
	return (__u16)(p->first_len > p->ip_len ? p->first_len : p->ip_len);
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

/*
 * Can the packet not be answered, since its source is no sender, or its own
 * destination (land)?
 */
static __always_inline int packet_is_martian(const struct packet *p)
{
	return addr_equal(&p->tuple.saddr, &p->tuple.daddr) ||
	       addr_is_martian(&p->tuple.saddr, p->v4);
}

#endif
