/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * reject.h - answers to the sender by the device that the packet came from,
 * with the packet's destination as source: for a frontend without a backend, and
 * a port that a service address does not have, a TCP RST (RFC 9293 section
 * 3.10.7.1) or ICMP port unreachable (RFC 792, RFC 4443); for what the way out
 * does not take, the size it takes (RFC 1191, 8201).
 *
 * The checksums are written whole. Where the incoming skb was CHECKSUM_PARTIAL
 * its sender is on this machine behind a veth, and takes them unread.
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

#include "csum.h"
#include "ctx.h"
#include "icmp.h"
#include "packet.h"

#define REJECT_TTL 64
/* Of the packet in error: its IP header and this much behind it. */
#define REJECT_L4_BYTES 8
static __always_inline void reject_macs(struct ethhdr *eth)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
}

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

/* Writes Ethernet's turned addresses and the new IP header; 0 or -1. */
static __always_inline int reject_headers(ctx_t *ctx, const struct packet *p,
					  __u16 l4_len, __u8 proto)
{
	struct ethhdr *eth = ctx_data(ctx);

	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return -1;
	reject_macs(eth);
	if (p->v4) {
		struct iphdr ip;

		reject_ipv4(&ip, p, sizeof(ip) + l4_len, proto);
		return (int)bpf_skb_store_bytes(ctx, L3_OFF, &ip, sizeof(ip), 0);
	}
	struct ipv6hdr ip6;

	reject_ipv6(&ip6, p, l4_len, proto);
	return (int)bpf_skb_store_bytes(ctx, L3_OFF, &ip6, sizeof(ip6), 0);
}

/* The RST that answers `tcp`, its ports and checksum included. */
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

static __always_inline int reject_tcp(ctx_t *ctx, const struct packet *p)
{
	__u32 l3_len = p->v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	struct tcphdr tcp, rst;

	if (p->tcp_flags & TH_RST)
		return -1;
	if (bpf_skb_load_bytes(ctx, p->l4_off, &tcp, sizeof(tcp)))
		return -1;
	reject_reset(p, &tcp, &rst);
	if (bpf_skb_change_tail(ctx, L3_OFF + l3_len + sizeof(rst), 0))
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

/* Cuts the frame behind what is quoted, makes room before it. */
static __always_inline int reject_room(ctx_t *ctx, __u32 quoted, __s32 room)
{
	if (bpf_skb_change_tail(ctx, L3_OFF + quoted, 0))
		return -1;
	return (int)bpf_skb_adjust_room(ctx, room, BPF_ADJ_ROOM_MAC, 0);
}

static __always_inline int reject_icmp4(ctx_t *ctx, const struct packet *p,
					const struct icmp_header *icmp)
{
	struct reject_icmp4 m = { .icmp = *icmp };

	/* options would have to be quoted too */
	if (p->l4_off != L3_OFF + sizeof(struct iphdr))
		return -1;
	if (bpf_skb_load_bytes(ctx, L3_OFF, m.original, sizeof(m.original)))
		return -1;
	m.icmp.checksum = (__u16)~csum_fold16(
		(__u32)bpf_csum_diff(0, 0, (void *)&m, sizeof(m), 0));
	if (reject_room(ctx, sizeof(m.original),
			sizeof(struct iphdr) + sizeof(m.icmp)))
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
	if (reject_room(ctx, sizeof(m.original),
			sizeof(struct ipv6hdr) + sizeof(m.icmp)))
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
 * Turns a packet that its way out does not take into the news of that, `mtu` in
 * bytes of IP. What may be cut, but cannot be here, is dropped.
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
	if (p->related || !p->df)
		return REASON_REJECT_TOO_BIG;
	failed = p->v4 ? reject_icmp4(ctx, p, &icmp) :
			 reject_icmp6(ctx, p, &icmp);
	if (!failed)
		p->action = (__u32)bpf_redirect(ctx->ifindex, 0);
	return REASON_REJECT_TOO_BIG;
}

/*
 * Turns the packet into its own refusal and sends it, if `reason` is to refuse
 * it. Where that cannot be done (options before UDP, GSO, an RST) the packet is
 * dropped.
 */
static __always_inline int reject(ctx_t *ctx, struct packet *p, int reason)
{
	int failed;

	if (reason != REASON_REJECT_NO_BACKEND &&
	    reason != REASON_REJECT_NO_PORT)
		return reason;
	p->action = TC_ACT_SHOT;
	if (p->fragment == FRAGMENT_LATER)
		return reason;
	if (p->tuple.proto == IPPROTO_TCP)
		failed = reject_tcp(ctx, p);
	else
		failed = reject_unreachable(ctx, p);
	if (!failed)
		p->action = (__u32)bpf_redirect(ctx->ifindex, 0);
	return reason;
}

#endif
