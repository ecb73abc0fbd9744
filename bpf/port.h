/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * port.h - creates a flow and chooses its source port.
 */
#ifndef MAGLANE_PORT_H
#define MAGLANE_PORT_H

#include "conn.h"
#include "frontend.h"
#include "sock-tuple.h"

#include MAGLANE_HOOK

#define PORT_ATTEMPTS 32
/*
 * From this attempt on a port may be taken from a flow that is still opening.
 */
#define PORT_PRESSED 16
/*
 * The client's own port is tried twice: another CPU may hold the slot for a
 * moment.
 */
#define PORT_OWN_ATTEMPTS 2

/*
 * Is the source of the scratch's forward entry, the node's address and a port,
 * that of a frontend? Packets to it would begin a client's flow.
 */
__noinline int port_is_frontend(ctx_t *ctx)
{
	struct conn_scratch *s = conn_scratch();

	if (!ctx || !s)
		return 1;
	return !!frontend_lookup(&s->forward.nat.saddr, s->forward.nat.sport,
				 s->forward.nat.proto, SCOPE_EXTERNAL);
}

/*
 * Does the node have a socket that packets with the scratch's reverse key would
 * reach? The flow must not take the socket's port.
 */
__noinline int port_has_socket(ctx_t *ctx, __u32 v4)
{
	struct conn_scratch *s = conn_scratch();
	struct bpf_sock_tuple t;
	struct bpf_sock *sk;
	__u32 size;

	if (!ctx || !s)
		return 1;
	size = sock_tuple(&s->reverse_key, v4, &t);
	if (s->reverse_key.proto == IPPROTO_TCP)
		sk = bpf_sk_lookup_tcp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_udp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/*
 * The port of attempt `i`: by hash; the last attempts walk through a small
 * range.
 */
static __always_inline __u16 port_candidate(__u32 *hash, __u32 i)
{
	__u32 range = snat_port_max - snat_port_min + 1;

	if (i >= PORT_PRESSED && range <= PORT_ATTEMPTS - PORT_PRESSED)
		(*hash)++;
	else if (i)
		*hash = mix3(*hash, i, hash_seed);
	return (__u16)(snat_port_min + *hash % range);
}

/*
 * Assigns a source port to the scratch's forward entry and inserts its reverse
 * entry. With CONN_SNAT the port is from the reserved range and belongs neither
 * to a frontend nor to a socket of the node. Without, the flow keeps the
 * client's port unless another flow of that port to this backend has it (two
 * frontends, one backend). 0, or -1 when no port is free.
 */
__noinline int port_claim(ctx_t *ctx, __u32 hash, __u32 v4)
{
	struct conn_scratch *s = conn_scratch();
	__u32 i, of_node, first;

	if (!ctx || !s)
		return -1;
	of_node = s->forward.flags & CONN_SNAT;
	first = of_node ? 0 : PORT_OWN_ATTEMPTS;
	s->forward.nat.sport = s->forward_key.sport;
	for (i = 0; i < PORT_ATTEMPTS; i++) {
		if (i >= first) {
			s->forward.flags |= CONN_SNAT;
			s->forward.nat.sport = port_candidate(&hash, i);
		}
		if (of_node && port_is_frontend(ctx))
			continue;
		if (conn_claim(ctx, i >= PORT_PRESSED))
			continue;
		if (!of_node || !port_has_socket(ctx, v4))
			return 0;
		bpf_map_delete_elem(&connections, &s->reverse_key);
	}
	return -1;
}

/*
 * Creates a flow of client p->tuple to nat.daddr:dport. The caller has filled
 * the scratch's forward entry except the source port and the checksum
 * differences. 0, or -1 when no port is free.
 */
static __always_inline int conn_create(ctx_t *ctx, const struct packet *p,
				       struct conn_scratch *s, __u32 hash)
{
	s->forward.last_seen = conn_now();
	s->forward.own.packet = 1;
	s->forward_key = p->tuple;
	if (port_claim(ctx, hash, p->v4))
		return -1;
	s->forward.addr_diff = csum_addr_diff(&s->forward_key, &s->forward.nat);
	s->forward.port_diff = csum_port_diff(&s->forward_key, &s->forward.nat);
	bpf_map_update_elem(&connections, &s->forward_key, &s->forward, BPF_ANY);
	claim_note(&s->forward_key);
	count(p->tuple.proto == IPPROTO_TCP && !(p->tcp_flags & TH_SYN) ?
		      REASON_CONN_RESUMED :
		      REASON_CONN_NEW,
	      0);
	return 0;
}

#endif
