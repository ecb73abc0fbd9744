/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * parse.h - frame to struct packet. Anything that is not a whole TCP or UDP
 * header in one IP packet is the stack's.
 */
#ifndef MAGLANE_PARSE_H
#define MAGLANE_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "ctx.h"
#include "fragment.h"
#include "maps.h"
#include "packet.h"

#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

/* RFC 8200 section 4.1; <linux/in6.h> has them as IPPROTO_*. */
#define NEXTHDR_HOP 0
#define NEXTHDR_ROUTING 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_DEST 60
#define EXTENSIONS_MAX 6

static __always_inline void parse_fragment(struct packet *p, __u16 offset,
					   int more, __u32 id)
{
	if (offset)
		p->fragment = FRAGMENT_LATER;
	else if (more)
		p->fragment = FRAGMENT_FIRST;
	p->fragment_id = id;
}

static __always_inline int parse_ipv4(void *data, void *end, struct packet *p)
{
	struct iphdr *ip = data + L3_OFF;
	__u32 header;

	if ((void *)(ip + 1) > end)
		return REASON_DROP_MALFORMED;
	header = ip->ihl * 4;
	p->ip_len = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || p->ip_len < header)
		return REASON_DROP_MALFORMED;
	parse_fragment(p, ip->frag_off & bpf_htons(IP_OFFSET),
		       ip->frag_off & bpf_htons(IP_MF), ip->id);

	addr_from_v4(&p->tuple.saddr, ip->saddr);
	addr_from_v4(&p->tuple.daddr, ip->daddr);
	p->tuple.proto = ip->protocol;
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	p->df = !!(ip->frag_off & bpf_htons(IP_DF));
	p->l4_off = L3_OFF + header;
	p->v4 = 1;
	return STEP_NEXT;
}

struct ipv6_extension {
	__u8 nexthdr;
	__u8 len; /* in 8 bytes, the first 8 not counted */
};

struct ipv6_fragment {
	__u8 nexthdr;
	__u8 reserved;
	__be16 frag_off; /* in 8 bytes << 3, and whether more follow */
	__be32 id;
};

/* What parse_extensions() returns, in one integer. */
#define EXT_L4_OFF(r) ((__u32)(r) & 0xff)
#define EXT_PROTO(r) ((__u8)((r) >> 8))
#define EXT_FRAGMENT(r) ((__u8)((r) >> 16 & 3))
#define EXT_ID(r) ((__u32)((r) >> 32))
#define EXT_RESULT(l4_off, proto, fragment, id)                              \
	((__u64)(l4_off) | (__u64)(proto) << 8 | (__u64)(fragment) << 16 |   \
	 (__u64)(id) << 32)

/*
 * Walks IPv6 extension headers (RFC 8200 section 4), the first being `nexthdr`.
 * 0 when they end too far away or nowhere.
 *
 * Not inline but global: the verifier then looks at it once, not once for each
 * of its outcomes with everything that follows (42 000 instructions against 280 000).
 */
__noinline __u64 parse_extensions(ctx_t *ctx, __u32 nexthdr)
{
	void *data = ctx_data(ctx), *end = ctx_data_end(ctx);
	__u32 off = L3_OFF + sizeof(struct ipv6hdr);
	__u32 fragment = FRAGMENT_NONE, id = 0, i;

	for (i = 0; i < EXTENSIONS_MAX && off <= L4_OFF_MAX; i++) {
		struct ipv6_extension *ext = data + off;
		struct ipv6_fragment *frag = data + off;

		if ((void *)(ext + 1) > end)
			return 0;
		if (nexthdr == NEXTHDR_FRAGMENT) {
			if ((void *)(frag + 1) > end)
				return 0;
			id = frag->id;
			off += sizeof(*frag);
			nexthdr = frag->nexthdr;
			if (frag->frag_off & bpf_htons(0xfff8))
				/* what follows is payload */
				return EXT_RESULT(off & L4_OFF_MAX, nexthdr,
						  FRAGMENT_LATER, id);
			if (frag->frag_off & bpf_htons(1))
				fragment = FRAGMENT_FIRST;
		} else if (nexthdr == NEXTHDR_HOP || nexthdr == NEXTHDR_ROUTING ||
			   nexthdr == NEXTHDR_DEST) {
			nexthdr = ext->nexthdr;
			off += (ext->len + 1u) * 8;
		} else {
			return EXT_RESULT(off & L4_OFF_MAX, nexthdr, fragment,
					  id);
		}
	}
	return 0;
}

static __always_inline int parse_has_extension(__u8 nexthdr)
{
	return nexthdr == NEXTHDR_FRAGMENT || nexthdr == NEXTHDR_HOP ||
	       nexthdr == NEXTHDR_ROUTING || nexthdr == NEXTHDR_DEST;
}

static __always_inline int parse_ipv6(ctx_t *ctx, void *data, void *end,
				      struct packet *p)
{
	struct ipv6hdr *ip = data + L3_OFF;
	__u64 ext;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return REASON_DROP_MALFORMED;

	__builtin_memcpy(&p->tuple.saddr, &ip->saddr, sizeof(struct addr));
	__builtin_memcpy(&p->tuple.daddr, &ip->daddr, sizeof(struct addr));
	p->tuple.proto = ip->nexthdr;
	p->ip_len = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p->ttl = ip->hop_limit;
	p->df = 1;
	p->tos = (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
	p->l4_off = L3_OFF + sizeof(*ip);
	p->v4 = 0;
	if (!parse_has_extension(p->tuple.proto))
		return STEP_NEXT;
	ext = parse_extensions(ctx, p->tuple.proto);
	if (!ext)
		return REASON_PASS_PROTOCOL;
	p->l4_off = EXT_L4_OFF(ext);
	p->tuple.proto = EXT_PROTO(ext);
	p->fragment = EXT_FRAGMENT(ext);
	p->fragment_id = EXT_ID(ext);
	return STEP_NEXT;
}

static __always_inline int parse_l4(void *data, void *end, struct packet *p)
{
	void *l4 = data + (p->l4_off & L4_OFF_MAX);
	__u32 l4_len = p->ip_len - (p->l4_off - L3_OFF);
	struct ports *ports = l4;

	if (p->tuple.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) > end || l4_len < sizeof(*tcp) ||
		    tcp->doff < sizeof(*tcp) / 4)
			return REASON_DROP_MALFORMED;
		p->tcp_flags = ((__u8 *)tcp)[13];
	} else if (p->tuple.proto == IPPROTO_UDP) {
		struct udphdr *udp = l4;

		if ((void *)(udp + 1) > end || l4_len < sizeof(*udp))
			return REASON_DROP_MALFORMED;
		p->tcp_flags = 0;
	} else {
		return REASON_PASS_PROTOCOL;
	}
	p->tuple.sport = bpf_ntohs(ports->source);
	p->tuple.dport = bpf_ntohs(ports->dest);
	return STEP_NEXT;
}

/* The ports, from the L4 header or, in a later fragment, from its first. */
static __always_inline int parse_ports(void *data, void *end, struct packet *p)
{
	int l4 = p->tuple.proto == IPPROTO_TCP || p->tuple.proto == IPPROTO_UDP;
	struct fragment_key key;
	struct fragment *known;
	int step;

	if (!p->fragment)
		return parse_l4(data, end, p);
	fragment_key_fill(p, &key);
	if (p->fragment == FRAGMENT_LATER) {
		known = fragment_lookup(&key);
		if (!known)
			return l4 ? REASON_PASS_FRAGMENT : REASON_PASS_PROTOCOL;
		p->tuple.proto = known->proto;
		p->tuple.sport = known->sport;
		p->tuple.dport = known->dport;
		/* no flag may be read from it */
		p->tcp_flags = TH_ACK;
		return STEP_NEXT;
	}
	step = parse_l4(data, end, p);
	if (step == STEP_NEXT)
		fragment_remember(p, &key);
	return step;
}

/*
 * Fills *p. REASON_DROP_MALFORMED does not say that the frame must be dropped:
 * whether it was for a Service is not known, so the stack judges it.
 */
static __always_inline int packet_parse(ctx_t *ctx, struct packet *p)
{
	void *data, *end;
	struct ethhdr *eth;
	int step;

	if (ctx_is_tagged(ctx))
		return REASON_PASS_NOT_IP;
	ctx_pull(ctx, HEADERS_MAX);
	data = ctx_data(ctx);
	end = ctx_data_end(ctx);
	eth = data;
	p->len = ctx_len(ctx);
	if ((void *)(eth + 1) > end)
		return REASON_PASS_NOT_IP;

	if (eth->h_proto == bpf_htons(ETH_P_IP))
		step = parse_ipv4(data, end, p);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		step = parse_ipv6(ctx, data, end, p);
	else
		return REASON_PASS_NOT_IP;
	if (step == STEP_NEXT)
		step = parse_ports(data, end, p);
	if (step == STEP_NEXT && p->ip_len + L3_OFF > p->len)
		step = REASON_DROP_MALFORMED;
	return step;
}

#endif
