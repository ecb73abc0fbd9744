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

#include MAGLANE_HOOK

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

#endif
