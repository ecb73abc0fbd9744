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
#include "packet.h"

#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff
#define NEXTHDR_FRAGMENT 44

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
	if (ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))
		return REASON_PASS_FRAGMENT;

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

static __always_inline int parse_ipv6(void *data, void *end, struct packet *p)
{
	struct ipv6hdr *ip = data + L3_OFF;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return REASON_DROP_MALFORMED;
	if (ip->nexthdr == NEXTHDR_FRAGMENT)
		return REASON_PASS_FRAGMENT;

	__builtin_memcpy(&p->tuple.saddr, &ip->saddr, sizeof(struct addr));
	__builtin_memcpy(&p->tuple.daddr, &ip->daddr, sizeof(struct addr));
	p->tuple.proto = ip->nexthdr;
	p->ip_len = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p->ttl = ip->hop_limit;
	p->df = 1;
	p->tos = (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
	p->l4_off = L3_OFF + sizeof(*ip);
	p->v4 = 0;
	return STEP_NEXT;
}

static __always_inline int parse_l4(void *data, void *end, struct packet *p)
{
	void *l4 = data + (p->l4_off & 0x7f);
	__u32 l4_len = p->ip_len - (p->l4_off - L3_OFF);
	struct ports *ports = l4;

	if (p->tuple.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) > end || l4_len < sizeof(*tcp))
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

/*
 * Fills *p. REASON_DROP_MALFORMED does not say that the frame must be dropped:
 * whether it was for a Service is not known, so the stack judges it.
 */
static __always_inline int packet_parse(ctx_t *ctx, struct packet *p)
{
	void *data, *end;
	struct ethhdr *eth;
	int step;

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
		step = parse_ipv6(data, end, p);
	else
		return REASON_PASS_NOT_IP;
	if (step == STEP_NEXT)
		step = parse_l4(data, end, p);
	if (step == STEP_NEXT && p->ip_len + L3_OFF > p->len)
		step = REASON_DROP_MALFORMED;
	return step;
}

#endif
