/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * reject.h - replies to the sender, by the ingress device, with the packet's
 * destination as source. A frontend without a backend and a missing port of a
 * service address get a TCP RST (RFC 9293 section 3.10.7.1) or ICMP port
 * unreachable (RFC 792, RFC 4443). A packet too big for its path gets the MTU
 * (RFC 1191, 8201).
 *
 * The programs write complete checksums, so the skb must not stay
 * CHECKSUM_PARTIAL. Packets that GRO has merged and packets of virtual devices
 * often are (see reject_cut()).
 *
 * Replies have a rate per CPU and second, and none goes to an address that no
 * sender can have (bucket.h, addr_is_martian()).
 */
#ifndef MAGLANE_REJECT_H
#define MAGLANE_REJECT_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>

#include "bucket.h"
#include "csum.h"
#include "icmp.h"
#include "packet.h"
#include "slow.h"

#include MAGLANE_HOOK

#define REJECT_TTL 64
/* Bytes of the packet in error to quote behind its IP header. */
#define REJECT_L4_BYTES 8
/* Larger than any offset at which a checksum may begin. */
#define REJECT_SHED 256

/* An IPv4 header without options, from the frontend to the client. */
static __always_inline void reject_ipv4(struct iphdr *ip,
					const struct packet *p, __u16 len,
					__u8 proto)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(len);
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = REJECT_TTL;
	ip->protocol = proto;
	ip->saddr = addr_v4(&p->tuple.daddr);
	ip->daddr = addr_v4(&p->tuple.saddr);
	ip->check = (__u16)~csum_fold16(
		(__u32)bpf_csum_diff(0, 0, (void *)ip, sizeof(*ip), 0));
}

static __always_inline void reject_ipv6(struct ipv6hdr *ip,
					const struct packet *p, __u16 len,
					__u8 proto)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 6;
	ip->payload_len = bpf_htons(len);
	ip->nexthdr = proto;
	ip->hop_limit = REJECT_TTL;
	__builtin_memcpy(&ip->saddr, &p->tuple.daddr, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &p->tuple.saddr, sizeof(ip->daddr));
}

/* Swaps the MAC addresses and writes the new IP header; 0 or -1. */
static __always_inline int reject_headers(ctx_t *ctx, const struct packet *p,
					  __u16 l4_len, __u8 proto)
{
	if (ctx_turn_macs(ctx))
		return -1;
	if (p->v4) {
		struct iphdr ip;

		reject_ipv4(&ip, p, sizeof(ip) + l4_len, proto);
		return (int)bpf_skb_store_bytes(ctx, L3_OFF, &ip, sizeof(ip), 0);
	}
	struct ipv6hdr ip6;

	reject_ipv6(&ip6, p, l4_len, proto);
	return (int)bpf_skb_store_bytes(ctx, L3_OFF, &ip6, sizeof(ip6), 0);
}

/* Builds the RST that answers `tcp`, with ports and checksum. */
static __always_inline void reject_reset(const struct packet *p,
					 const struct tcphdr *tcp,
					 struct tcphdr *rst)
{
	__u32 data = p->ip_len - (p->l4_off - L3_OFF) - tcp->doff * 4;
	struct tuple back;

	__builtin_memset(rst, 0, sizeof(*rst));
	rst->source = tcp->dest;
	rst->dest = tcp->source;
	rst->doff = sizeof(*rst) / 4;
	rst->rst = 1;
	if (tcp->ack) {
		rst->seq = tcp->ack_seq;
	} else {
		rst->ack = 1;
		rst->ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + data +
					 tcp->syn + tcp->fin);
	}
	tuple_turn(&p->tuple, &back);
	rst->check = (__u16)~csum_fold16(
		csum_pseudo(&back, sizeof(*rst), p->v4) +
		(__u32)bpf_csum_diff(0, 0, (void *)rst, sizeof(*rst), 0));
}

/*
 * Makes the packet `len` bytes long; the caller writes all of them.
 *
 * An skb may be CHECKSUM_PARTIAL: the egress path then computes the sum from
 * the start of the old L4 header and writes it into the old field, across the
 * reply. No helper ends that. But the kernel does so when the start of the sum
 * is pulled off the front (skb_postpull_rcsum()). So the packet first grows by
 * more than that offset, and then loses as much in front.
 */
static __always_inline int reject_cut(ctx_t *ctx, __u32 len)
{
	if (bpf_skb_change_tail(ctx, len + REJECT_SHED, 0))
		return -1;
	return (int)bpf_skb_adjust_room(ctx, -REJECT_SHED, BPF_ADJ_ROOM_MAC, 0);
}

static __always_inline int reject_tcp(ctx_t *ctx, const struct packet *p)
{
	__u32 l3_len = p->v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	struct tcphdr tcp, rst;

	if (bpf_skb_load_bytes(ctx, p->l4_off, &tcp, sizeof(tcp)))
		return -1;
	reject_reset(p, &tcp, &rst);
	if (reject_cut(ctx, L3_OFF + l3_len + sizeof(rst)))
		return -1;
	if (bpf_skb_store_bytes(ctx, L3_OFF + l3_len, &rst, sizeof(rst), 0))
		return -1;
	return reject_headers(ctx, p, sizeof(rst), IPPROTO_TCP);
}

struct reject_icmp4 {
	struct icmp_header icmp;
	__u8 original[sizeof(struct iphdr) + REJECT_L4_BYTES];
};

struct reject_icmp6 {
	struct icmp_header icmp;
	__u8 original[sizeof(struct ipv6hdr) + REJECT_L4_BYTES];
};

static __always_inline int reject_icmp4(ctx_t *ctx, const struct packet *p,
					const struct icmp_header *icmp)
{
	struct reject_icmp4 m = { .icmp = *icmp };

	/* IP options would have to be quoted too */
	if (p->l4_off != L3_OFF + sizeof(struct iphdr))
		return -1;
	if (bpf_skb_load_bytes(ctx, L3_OFF, m.original, sizeof(m.original)))
		return -1;
	m.icmp.checksum = (__u16)~csum_fold16(
		(__u32)bpf_csum_diff(0, 0, (void *)&m, sizeof(m), 0));
	if (reject_cut(ctx, L3_OFF + sizeof(struct iphdr) + sizeof(m)))
		return -1;
	if (bpf_skb_store_bytes(ctx, L3_OFF + sizeof(struct iphdr), &m,
				sizeof(m), 0))
		return -1;
	return reject_headers(ctx, p, sizeof(m), IPPROTO_ICMP);
}

static __always_inline int reject_icmp6(ctx_t *ctx, const struct packet *p,
					const struct icmp_header *icmp)
{
	struct reject_icmp6 m = { .icmp = *icmp };
	struct tuple back;

	if (bpf_skb_load_bytes(ctx, L3_OFF, m.original, sizeof(m.original)))
		return -1;
	tuple_turn(&p->tuple, &back);
	back.proto = NEXTHDR_ICMPV6;
	m.icmp.checksum = (__u16)~csum_fold16(
		csum_pseudo(&back, sizeof(m), 0) +
		(__u32)bpf_csum_diff(0, 0, (void *)&m, sizeof(m), 0));
	if (reject_cut(ctx, L3_OFF + sizeof(struct ipv6hdr) + sizeof(m)))
		return -1;
	if (bpf_skb_store_bytes(ctx, L3_OFF + sizeof(struct ipv6hdr), &m,
				sizeof(m), 0))
		return -1;
	return reject_headers(ctx, p, sizeof(m), NEXTHDR_ICMPV6);
}

static __always_inline int reject_unreachable(ctx_t *ctx,
					      const struct packet *p)
{
	struct icmp_header icmp = {
		.type = p->v4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH,
		.code = p->v4 ? ICMP_PORT_UNREACH : ICMPV6_PORT_UNREACH,
	};

	return p->v4 ? reject_icmp4(ctx, p, &icmp) : reject_icmp6(ctx, p, &icmp);
}

/*
 * Turns a packet too big for its path into the ICMP error with the `mtu`, bytes
 * of IP.
 */
static __always_inline int reject_too_big(ctx_t *ctx, struct packet *p,
					  __u16 mtu)
{
	struct icmp_header icmp = {
		.type = p->v4 ? ICMP_DEST_UNREACH : ICMPV6_PKT_TOOBIG,
		.code = p->v4 ? ICMP_FRAG_NEEDED : 0,
		.unused = bpf_htonl(mtu),
	};
	int failed;

	p->action = TC_ACT_SHOT;
	if (p->related)
		return REASON_REJECT_TOO_BIG;
	if (!bucket_answer(ANSWER_TOO_BIG))
		return REASON_DROP_RATE;
	failed = p->v4 ? reject_icmp4(ctx, p, &icmp) :
			 reject_icmp6(ctx, p, &icmp);
	if (!failed)
		p->action = (__u32)bpf_redirect(ctx->ifindex, 0);
	return REASON_REJECT_TOO_BIG;
}

/*
 * Turns the saved packet into its own refusal and sends it. If that is
 * impossible (options before UDP, an RST), the packet is dropped.
 */
__noinline int reject_saved(ctx_t *ctx, __u32 reason)
{
	struct packet *p = packet_saved();
	int failed;

	if (!ctx || !p)
		return REASON_DROP_REWRITE;
	p->action = TC_ACT_SHOT;
	if (packet_is_martian(p))
		return REASON_DROP_MARTIAN;
	if (p->fragment == FRAGMENT_LATER ||
	    (p->tuple.proto == IPPROTO_TCP && (p->tcp_flags & TH_RST)))
		return (int)reason;
	if (!bucket_answer(ANSWER_REFUSAL))
		return REASON_DROP_RATE;
	if (p->tuple.proto == IPPROTO_TCP)
		failed = reject_tcp(ctx, p);
	else
		failed = reject_unreachable(ctx, p);
	if (!failed)
		p->action = (__u32)bpf_redirect(ctx->ifindex, 0);
	return (int)reason;
}

/* Refuses the packet if `reason` is a refusal. */
static __always_inline int reject(ctx_t *ctx, struct packet *p, int reason)
{
	struct packet *saved;

	if (reason != REASON_REJECT_NO_BACKEND &&
	    reason != REASON_REJECT_NO_PORT && reason != REASON_REJECT_GONE)
		return reason;
	saved = packet_save(p);
	if (!saved)
		return REASON_DROP_REWRITE;
	reason = reject_saved(ctx, (__u32)reason);
	p->action = saved->action;
	return reason;
}

#endif
