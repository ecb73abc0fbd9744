/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * parse.h - frame to struct packet. A packet without a complete TCP or UDP
 * header in one IP packet is left to the stack.
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

#include "fragment.h"
#include "maps.h"
#include "packet.h"

#include MAGLANE_HOOK

#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

/* RFC 8200 section 4.1; <linux/in6.h> defines them as IPPROTO_*. */
#define NEXTHDR_HOP 0
#define NEXTHDR_ROUTING 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_AUTH 51
#define NEXTHDR_DEST 60
/* Headers to walk; RFC 8504 section 5.3 allows limits. */
#define EXTENSIONS_MAX 8

static __always_inline void parse_fragment(struct packet *p, __u16 offset,
					   int more, __u32 id)
{
	if (offset)
		p->fragment = FRAGMENT_LATER;
	else if (more)
		p->fragment = FRAGMENT_FIRST;
	p->fragment_id = id;
}

/*
 * Length of the IP packet whose header contains `len`. A BIG TCP packet (Linux
 * 5.19, IPv4: 6.3) is longer than the field can express and contains 0: then it
 * fills the frame.
 */
static __always_inline __u32 parse_ip_len(ctx_t *ctx, __u32 len)
{
	return !len && ctx_is_gso(ctx) ? ctx_len(ctx) - L3_OFF : len;
}

static __always_inline int parse_ipv4(ctx_t *ctx, struct packet *p)
{
	struct iphdr *ip = ctx_data(ctx) + L3_OFF;
	__u32 header;

	if ((void *)(ip + 1) > ctx_data_end(ctx))
		return REASON_PASS_MALFORMED;
	header = ip->ihl * 4;
	p->ip_len = parse_ip_len(ctx, bpf_ntohs(ip->tot_len));
	if (ip->version != 4 || header < sizeof(*ip) || p->ip_len < header)
		return REASON_PASS_MALFORMED;
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
	__u8 len; /* in 8 bytes, without the first 8; AH: in 4 bytes, less 2 */
};

struct ipv6_fragment {
	__u8 nexthdr;
	__u8 reserved;
	__be16 frag_off; /* in 8 bytes << 3; the lowest bit: more fragments */
	__be32 id;
};

/* The result of parse_extensions(), in one integer. */
#define EXT_PROTO(r) ((__u8)(r))
#define EXT_FRAGMENT(r) ((__u8)((r) >> 8 & 3))
#define EXT_L4_OFF(r) ((__u32)((r) >> 16) & L4_OFF_MAX)
#define EXT_ID(r) ((__u32)((r) >> 32))
#define EXT_RESULT(l4_off, proto, fragment, id)                  \
	((__u64)(L4_OFF_MAX & (l4_off)) << 16 | (__u64)(proto) | \
	 (__u64)(fragment) << 8 | (__u64)(id) << 32)

/*
 * Includes AH, like the kernel's ipv6_skip_exthdr(): its ICV covers the
 * addresses, so the receiver refuses a translated packet, but no packet is
 * delivered to its old address.
 */
static __always_inline int parse_has_extension(__u8 nexthdr)
{
	return nexthdr == NEXTHDR_FRAGMENT || nexthdr == NEXTHDR_HOP ||
	       nexthdr == NEXTHDR_ROUTING || nexthdr == NEXTHDR_DEST ||
	       nexthdr == NEXTHDR_AUTH;
}

/*
 * Walks IPv6 extension headers (RFC 8200 section 4) from `nexthdr` to their
 * end. 0 when the end is too far away, behind too many headers, or not in the
 * packet.
 *
 * Not inline but global: the verifier then checks it once, not once per outcome
 * with all the code that follows (42 000 instructions against 280 000).
 */
__noinline __u64 parse_extensions(ctx_t *ctx, __u32 nexthdr)
{
	__u32 off = L3_OFF + sizeof(struct ipv6hdr);
	__u32 fragment = FRAGMENT_NONE, id = 0, i;
	struct ipv6_fragment frag;
	struct ipv6_extension ext;

	for (i = 0; i <= EXTENSIONS_MAX && off <= L4_OFF_MAX; i++) {
		if (!parse_has_extension(nexthdr))
			return EXT_RESULT(off, nexthdr, fragment, id);
		if (nexthdr == NEXTHDR_FRAGMENT) {
			if (ctx_load(ctx, off, &frag, sizeof(frag)))
				return 0;
			id = frag.id;
			off += sizeof(frag);
			nexthdr = frag.nexthdr;
			if (frag.frag_off & bpf_htons(0xfff8))
				/* payload follows */
				return EXT_RESULT(off, nexthdr, FRAGMENT_LATER,
						  id);
			if (frag.frag_off & bpf_htons(1))
				fragment = FRAGMENT_FIRST;
			continue;
		}
		if (ctx_load(ctx, off, &ext, sizeof(ext)))
			return 0;
		off += nexthdr == NEXTHDR_AUTH ? (ext.len + 2u) * 4 :
						 (ext.len + 1u) * 8;
		nexthdr = ext.nexthdr;
	}
	return 0;
}

static __always_inline int parse_ipv6_extensions(ctx_t *ctx, struct packet *p)
{
	__u64 ext;

	if (!parse_has_extension(p->tuple.proto))
		return STEP_NEXT;
	ext = parse_extensions(ctx, p->tuple.proto);
	if (!ext)
		return REASON_PASS_EXTENSIONS;
	p->l4_off = EXT_L4_OFF(ext);
	p->tuple.proto = EXT_PROTO(ext);
	p->fragment = EXT_FRAGMENT(ext);
	p->fragment_id = EXT_ID(ext);
	return STEP_NEXT;
}

static __always_inline int parse_ipv6(ctx_t *ctx, struct packet *p)
{
	struct ipv6hdr *ip;

	ctx_pull(ctx, L3_OFF + sizeof(*ip));
	ip = ctx_data(ctx) + L3_OFF;
	if ((void *)(ip + 1) > ctx_data_end(ctx) || ip->version != 6)
		return REASON_PASS_MALFORMED;

	__builtin_memcpy(&p->tuple.saddr, &ip->saddr, sizeof(struct addr));
	__builtin_memcpy(&p->tuple.daddr, &ip->daddr, sizeof(struct addr));
	p->tuple.proto = ip->nexthdr;
	p->ip_len = parse_ip_len(ctx, bpf_ntohs(ip->payload_len));
	if (ip->payload_len || !ctx_is_gso(ctx))
		p->ip_len += sizeof(*ip);
	p->ttl = ip->hop_limit;
	p->df = 1;
	p->tos = (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
	p->l4_off = L3_OFF + sizeof(*ip);
	p->v4 = 0;
	/*
	 * no IPv6 packet has such addresses (ip6_rcv() drops it), and the maps
	 * use them for IPv4
	 */
	if (addr_is_mapped(&p->tuple.saddr) || addr_is_mapped(&p->tuple.daddr))
		return REASON_PASS_MALFORMED;
	return parse_ipv6_extensions(ctx, p);
}

static __always_inline int parse_l4(ctx_t *ctx, struct packet *p)
{
	__u32 l4_off = p->l4_off & L4_OFF_MAX, l3_len = l4_off - L3_OFF;
	int is_tcp = p->tuple.proto == IPPROTO_TCP;
	__u32 l4_len = p->ip_len - l3_len;
	struct ports *ports;
	void *l4, *end;

	if (!is_tcp && p->tuple.proto != IPPROTO_UDP)
		return REASON_PASS_PROTOCOL;
	ctx_pull(ctx, l4_off + (is_tcp ? sizeof(struct tcphdr) :
					 sizeof(struct udphdr)));
	ports = l4 = ctx_data(ctx) + l4_off;
	end = ctx_data_end(ctx);
	if (p->ip_len < l3_len)
		return REASON_PASS_MALFORMED;
	p->tcp_flags = 0;
	if (is_tcp) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) > end || l4_len < sizeof(*tcp) ||
		    tcp->doff < sizeof(*tcp) / 4 || tcp->doff * 4u > l4_len)
			return REASON_PASS_MALFORMED;
		p->tcp_flags = ((__u8 *)tcp)[13];
	} else if (l4 + sizeof(struct udphdr) > end ||
		   l4_len < sizeof(struct udphdr)) {
		return REASON_PASS_MALFORMED;
	}
	p->tuple.sport = bpf_ntohs(ports->source);
	p->tuple.dport = bpf_ntohs(ports->dest);
	return STEP_NEXT;
}

/*
 * Reads the ports from the L4 header; a later fragment gets those of its first.
 */
static __always_inline int parse_ports(ctx_t *ctx, struct packet *p)
{
	int l4 = p->tuple.proto == IPPROTO_TCP || p->tuple.proto == IPPROTO_UDP;
	struct packet *saved;

	if (p->fragment != FRAGMENT_LATER)
		return parse_l4(ctx, p);
	saved = packet_save(p);
	if (!saved || !fragment_recall(ctx))
		return l4 ? REASON_PASS_FRAGMENT : REASON_PASS_PROTOCOL;
	*p = *saved;
	return STEP_NEXT;
}

/*
 * Fills *p. REASON_PASS_MALFORMED does not mean that the frame must be dropped:
 * it may not be for a Service, so the stack judges it.
 */
static __always_inline int packet_parse(ctx_t *ctx, struct packet *p)
{
	__be16 protocol;
	int step;

	if (ctx_is_tagged(ctx))
		return REASON_PASS_NOT_IP;
	ctx_pull(ctx, L3_OFF + sizeof(struct iphdr));
	protocol = ctx_protocol(ctx);
	p->len = ctx_head_len(ctx);
	if (protocol == bpf_htons(ETH_P_IP))
		step = parse_ipv4(ctx, p);
	else if (protocol == bpf_htons(ETH_P_IPV6))
		step = parse_ipv6(ctx, p);
	else
		return REASON_PASS_NOT_IP;
	if (step == STEP_NEXT)
		step = parse_ports(ctx, p);
	if (step == STEP_NEXT && p->ip_len + L3_OFF > p->len)
		p->len = ctx_len(ctx);
	if (step == STEP_NEXT && p->ip_len + L3_OFF > p->len)
		step = REASON_PASS_MALFORMED;
	return step;
}

#endif
