/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * pod-socket.h - the socket of a pod's packet, which the packet still carries
 * behind the veth (skb->sk, kept across namespaces since 4.19). A socket that
 * socket load balancing has connected sends to its backend's own address, so
 * only the socket identifies the Service.
 */
#ifndef MAGLANE_POD_SOCKET_H
#define MAGLANE_POD_SOCKET_H

#include <linux/in.h>
#include <bpf/bpf_endian.h>

#include "affinity.h"
#include "conn.h"
#include "frontend.h"
#include "packet.h"
#include "served.h"
#include "slow.h"
#include "sockets.h"

#include MAGLANE_HOOK

/*
 * For a datagram to a backend that is gone: the scratch has the frontend that
 * its socket dialled.
 */
#define STEP_DIALLED (-5)

static __always_inline struct sock_frontend *
pod_socket_find(ctx_t *ctx, const struct packet *p)
{
	struct sock_key key;
	__u64 cookie = bpf_get_socket_cookie(ctx);

	if (!cookie)
		return 0;
	sockets_key(&key, cookie, &p->tuple.daddr, p->tuple.dport,
		    p->tuple.proto);
	return bpf_map_lookup_elem(&sockets, &key);
}

/* Is the backend of the packet's socket gone? */
static __always_inline int pod_socket_gone(ctx_t *ctx, const struct packet *p)
{
	struct sock_frontend *s = pod_socket_find(ctx, p);

	return s && !sockets_current(s);
}

/*
 * Stores the socket's backend as the client's affinity under the key that TC
 * uses.
 */
static __always_inline void pod_socket_affinity(const struct packet *p,
						const struct sock_frontend *s)
{
	struct affinity_key key = {
		.client = p->tuple.saddr,
		.addr = s->addr,
		.port = s->port,
		.proto = IPPROTO_UDP,
	};
	struct affinity value = {
		.backend_id = s->backend_id,
		.last_used = (__u32)bpf_jiffies64(),
	};

	bpf_map_update_elem(&affinities, &key, &value, BPF_NOEXIST);
}

/*
 * Is the backend of the packet's UDP socket gone? If so, the scratch has the
 * frontend that the socket dialled. Also records that TC sees the pod's
 * datagrams.
 */
static __always_inline int pod_socket_moves(ctx_t *ctx, const struct packet *p)
{
	struct conn_scratch *scratch = conn_scratch();
	struct sock_frontend *s = pod_socket_find(ctx, p);
	struct frontend *f;
	int learnt, current;

	if (!scratch || !s)
		return 0;
	learnt = served_learn(s->netns_cookie);
	current = sockets_current(s);
	if (current && !learnt)
		return 0;
	sockets_dialled(s, IPPROTO_UDP, &scratch->frontend);
	f = bpf_map_lookup_elem(&frontends, &scratch->frontend);
	if (current && f && f->affinity_seconds)
		pod_socket_affinity(p, s);
	/* 127.0.0.1 of a pod is its own */
	return !current && f && !(f->flags & FRONTEND_LOOPBACK);
}

/*
 * Has the packet's TCP socket retransmitted so often without an answer that its
 * peer may be gone?
 */
__noinline int pod_socket_silent(ctx_t *ctx, __u32 proto)
{
	struct bpf_sock *sk = ctx && proto == IPPROTO_TCP ? ctx->sk : 0;
	struct bpf_tcp_sock *tcp;
	__u32 silent;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 0;
	silent = sk->state == BPF_TCP_SYN_SENT ? SILENT_SYN_RETRIES :
						 SILENT_RETRIES;
	tcp = bpf_tcp_sock(sk);
	return tcp && tcp->icsk_retransmits >= silent;
}

/* May the packet's socket have translated its datagram? */
static __always_inline int pod_socket_asks(ctx_t *ctx, const struct packet *p)
{
	struct bpf_sock *sk = ctx->sk;

	return sk && (sk->dst_port == bpf_htons(p->tuple.dport) ||
		      served_learning());
}

/*
 * Outcome of a packet to no frontend by its socket: REASON_REJECT_GONE for TCP
 * to a backend that is gone and silent, STEP_DIALLED for a datagram to a
 * backend that is gone, else STEP_NEXT.
 */
static __always_inline int pod_socket_step(ctx_t *ctx, const struct packet *p)
{
	if (p->tuple.proto == IPPROTO_TCP)
		return p->silent && pod_socket_gone(ctx, p) ?
			       REASON_REJECT_GONE :
			       STEP_NEXT;
	return pod_socket_asks(ctx, p) && pod_socket_moves(ctx, p) ?
		       STEP_DIALLED :
		       STEP_NEXT;
}

#endif
