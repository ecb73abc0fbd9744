/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * own.h - flows of the node itself, and of pods that netfilter masquerades,
 * whose source port is that of a frontend. Their replies belong to them and do
 * not begin a flow of a client.
 *
 * Such a flow begins at TC egress of an uplink or a pod's veth, after
 * netfilter, with the frontend's address as source. An entry under the tuple of
 * the replies lets them pass. A TCP connection of the node that began before
 * the frontend existed has a socket; the program looks it up when a packet has
 * no entry.
 */
#ifndef MAGLANE_OWN_H
#define MAGLANE_OWN_H

#include <linux/in.h>

#include "conn.h"
#include "frontend.h"
#include "slow.h"
#include "sock-tuple.h"

/*
 * Does the saved TCP segment belong to a connection of a socket of the node? A
 * SYN begins a connection, so it comes from a client.
 */
__noinline int own_socket(ctx_t *ctx)
{
	struct packet *p = packet_saved();
	struct bpf_sock_tuple t;
	struct bpf_sock *sk;
	__u32 size;
	int own;

	if (!ctx || !p)
		return 0;
	if (p->tuple.proto != IPPROTO_TCP ||
	    (p->tcp_flags & (TH_SYN | TH_ACK)) == TH_SYN)
		return 0;
	size = sock_tuple(&p->tuple, p->v4, &t);
	sk = bpf_skc_lookup_tcp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	own = sk->state != BPF_TCP_LISTEN;
	bpf_sk_release(sk);
	return own;
}

#ifndef MAGLANE_XDP

/*
 * Creates the entry of a flow of the node whose replies have the scratch's key.
 */
__noinline int own_enter(ctx_t *ctx)
{
	struct conn_scratch *s = conn_scratch();
	struct conn *known;
	__u32 now = conn_now();

	if (!ctx || !s)
		return 0;
	known = conn_lookup(&s->key);
	if (known && (!(known->flags & CONN_OWN) ||
		      conn_half_age(known, now) <= hz))
		return 0;
	__builtin_memset(&s->forward, 0, sizeof(s->forward));
	s->forward.nat = s->key;
	s->forward.flags = CONN_OWN;
	s->forward.last_seen = now;
	s->forward.own.packet = 1;
	s->forward.own.more = 1;
	bpf_map_update_elem(&connections, &s->key, &s->forward, BPF_ANY);
	claim_note(&s->key);
	return 0;
}

/*
 * Handles a packet that leaves and is no reply of a backend: does it begin such
 * a flow?
 */
static __always_inline void own_remember(ctx_t *ctx, const struct packet *p)
{
	struct conn_scratch *s;

	/* with TCP only the SYN begins one */
	if (p->related || (p->tuple.proto == IPPROTO_TCP &&
			   (p->tcp_flags & (TH_SYN | TH_ACK)) != TH_SYN))
		return;
	if (!frontend_lookup(&p->tuple.saddr, p->tuple.sport, p->tuple.proto,
			     SCOPE_EXTERNAL))
		return;
	s = conn_scratch();
	if (!s)
		return;
	tuple_turn(&p->tuple, &s->key);
	own_enter(ctx);
}

#endif

#endif
