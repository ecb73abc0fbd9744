/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * related.h - ICMP errors about translated flows: translates the quoted packet
 * back and sends the error to its sender. RFC 5508 section 7 requires that of a
 * NAT; path MTU discovery fails without it.
 *
 * If the flow's packet left with tuple t, the error travels in the opposite
 * direction: that of the entry whose key is t turned round. The packet as its
 * sender sent it has that entry's nat turned round. One rule for both
 * directions.
 */
#ifndef MAGLANE_RELATED_H
#define MAGLANE_RELATED_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "config.h"
#include "csum.h"
#include "icmp.h"
#include "packet.h"
#include "rewrite.h"

#include MAGLANE_HOOK

/*
 * Start of the quoted packet, behind an outer header without options and the
 * ICMP header.
 */
#define RELATED_INNER4 (L3_OFF + sizeof(struct iphdr) + sizeof(struct icmp_header))
#define RELATED_INNER6 (L3_OFF + sizeof(struct ipv6hdr) + sizeof(struct icmp_header))
/* Ports, and the checksum of UDP: every error quotes them (RFC 792). */
#define RELATED_L4_BYTES 8

/*
 * Offset of the quoted packet's L4 header, with its tuple in *t; 0 if it has
 * none.
 */
static __always_inline __u32 related_quoted(void *data, void *end, int v4,
					    struct tuple *t)
{
	__u32 l4_off;

	if (v4) {
		struct iphdr *ip = data + RELATED_INNER4;

		if ((void *)(ip + 1) > end || ip->ihl < 5 ||
		    (ip->frag_off & bpf_htons(0x1fff)))
			return 0;
		addr_from_v4(&t->saddr, ip->saddr);
		addr_from_v4(&t->daddr, ip->daddr);
		t->proto = ip->protocol;
		l4_off = RELATED_INNER4 + ip->ihl * 4;
	} else {
		struct ipv6hdr *ip = data + RELATED_INNER6;

		if ((void *)(ip + 1) > end)
			return 0;
		__builtin_memcpy(&t->saddr, &ip->saddr, sizeof(t->saddr));
		__builtin_memcpy(&t->daddr, &ip->daddr, sizeof(t->daddr));
		t->proto = ip->nexthdr;
		l4_off = RELATED_INNER6 + sizeof(*ip);
	}
	return t->proto == IPPROTO_TCP || t->proto == IPPROTO_UDP ? l4_off : 0;
}

/*
 * Called when packet_parse() has found neither TCP nor UDP. Returns 1 for an
 * error that quotes either, with the tuple to look up in p->tuple.
 */
static __always_inline int related_parse(ctx_t *ctx, struct packet *p)
{
	__u32 icmp_off = p->v4 ? L3_OFF + sizeof(struct iphdr) :
				 L3_OFF + sizeof(struct ipv6hdr);
	void *data, *end;
	struct icmp_header *icmp;
	struct ports *ports;
	struct tuple t = {};
	__u32 l4_off;

	if (p->tuple.proto != (p->v4 ? IPPROTO_ICMP : NEXTHDR_ICMPV6) ||
	    p->l4_off != icmp_off)
		return 0;
	ctx_pull(ctx, RELATED_INNER6 + 60 + RELATED_L4_BYTES);
	data = ctx_data(ctx);
	end = ctx_data_end(ctx);
	icmp = data + (icmp_off & 0x7f);
	if ((void *)(icmp + 1) > end || !icmp_is_error(icmp->type, p->v4))
		return 0;
	l4_off = related_quoted(data, end, p->v4, &t);
	ports = data + (l4_off & 0xff);
	if (!l4_off || (void *)ports + RELATED_L4_BYTES > end)
		return 0;
	t.sport = bpf_ntohs(ports->source);
	t.dport = bpf_ntohs(ports->dest);
	p->inner_l4_off = l4_off;
	p->related = 1;
	tuple_turn(&t, &p->tuple);
	return 1;
}

/*
 * Restores the quoted packet as its sender sent it. *diff: change of the ICMP
 * message's sum. 0 or -1.
 */
static __always_inline int related_inner(void *data, void *end,
					 const struct packet *p,
					 const struct conn *c, __u64 *diff)
{
	struct ports *ports = data + (p->inner_l4_off & 0xff);
	struct udphdr *udp = (void *)ports;

	if ((void *)ports + RELATED_L4_BYTES > end)
		return -1;
	*diff = c->port_diff;
	if (p->v4) {
		struct iphdr *ip = data + RELATED_INNER4;

		if ((void *)(ip + 1) > end)
			return -1;
		ip->saddr = addr_v4(&c->nat.daddr);
		ip->daddr = addr_v4(&c->nat.saddr);
		/* the header checksum absorbs the change of the addresses */
		ip->check = csum_update(ip->check, c->addr_diff);
	} else {
		struct ipv6hdr *ip = data + RELATED_INNER6;

		if ((void *)(ip + 1) > end)
			return -1;
		__builtin_memcpy(&ip->saddr, &c->nat.daddr, sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, &c->nat.saddr, sizeof(ip->daddr));
		*diff += c->addr_diff;
	}
	ports->source = bpf_htons(c->nat.dport);
	ports->dest = bpf_htons(c->nat.sport);
	if (p->tuple.proto == IPPROTO_UDP && udp->check) {
		__u64 change = (__u64)c->addr_diff + c->port_diff;

		udp->check = csum_update(udp->check, change);
		*diff += (__u16)~csum_fold16(change);
	}
	return 0;
}

/*
 * Rewrites the error's own header. The destination is the sender. The source is
 * the frontend if the destination of the packet sent the error; a router on the
 * path keeps its address. An error to a backend that knows the client by a
 * source of ours has that source, as with netfilter: the path may accept no
 * other (strict reverse path filters). *diff: change of the outer addresses'
 * sum. 0 or -1.
 */
static __always_inline int related_outer(void *data, void *end,
					 const struct packet *p,
					 const struct conn *c, __u8 hops,
					 __u32 *diff)
{
	struct tuple from = {}, to;

	if (p->v4) {
		struct iphdr *ip = data + L3_OFF;

		if ((void *)(ip + 1) > end)
			return -1;
		addr_from_v4(&from.saddr, ip->saddr);
		addr_from_v4(&from.daddr, ip->daddr);
	} else {
		struct ipv6hdr *ip = data + L3_OFF;

		if ((void *)(ip + 1) > end)
			return -1;
		__builtin_memcpy(&from.saddr, &ip->saddr, sizeof(from.saddr));
		__builtin_memcpy(&from.daddr, &ip->daddr, sizeof(from.daddr));
	}
	to = from;
	if (addr_equal(&from.saddr, &p->tuple.saddr) ||
	    !(~c->flags & (CONN_FORWARD | CONN_SNAT)))
		to.saddr = c->nat.saddr;
	to.daddr = c->nat.daddr;
	*diff = csum_addr_diff(&from, &to);
	return rewrite_l3(data, end, p, &to, *diff, hops);
}

/* As rewrite(), for an error. */
static __always_inline int related_rewrite(ctx_t *ctx, const struct packet *p,
					   const struct conn *c, __u8 hops)
{
	void *data = ctx_data(ctx), *end = ctx_data_end(ctx);
	__u32 check_off = (p->l4_off & 0x7f) +
			  __builtin_offsetof(struct icmp_header, checksum);
	__u64 v6 = have_csum_ipv6 ? L4_CSUM_IPV6 : 0;
	__u32 outer_diff;
	__u64 diff;

	if (related_inner(data, end, p, c, &diff) ||
	    related_outer(data, end, p, c, hops, &outer_diff))
		return -1;
	if (bpf_l4_csum_replace(ctx, check_off, 0, csum_fold16(diff), 0))
		return -1;
	/* only ICMPv6 has a pseudo header */
	return !p->v4 && bpf_l4_csum_replace(ctx, check_off, 0, outer_diff,
					     BPF_F_PSEUDO_HDR | v6) ?
		       -1 :
		       0;
}

#endif
