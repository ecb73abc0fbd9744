/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * host-socket.h - connected UDP sockets of the node whose backend is gone, or
 * that dialled a Service before it had a backend. sendmsg() has no hook for
 * them, so TC translates their datagrams at egress, as it does those of a pod
 * at ingress.
 *
 *   out   TC egress of the device that the socket's peer is routed to: the
 *         destination becomes a backend. A redirect sends the packet, since the
 *         backend may be behind another device or next hop
 *   back  TC ingress of the device that the backend is behind. The packet is not
 *         rewritten but assigned to the socket. So its source matches the routes
 *         of the device, and rp_filter accepts it
 */
#ifndef MAGLANE_HOST_SOCKET_H
#define MAGLANE_HOST_SOCKET_H

#include <linux/in.h>
#include <bpf/bpf_endian.h>

#include "finish.h"
#include "parse.h"
#include "service.h"
#include "sock-tuple.h"
#include "sockets.h"

#include MAGLANE_FORWARD
#include MAGLANE_HOOK

/* Seconds without a datagram after which TC stops looking for replies. */
#define HOST_SOCKET_SILENT 180

/*
 * Is the sender of a packet with the scratch's forward key a connected socket
 * of the node whose backend is gone? If so, stores the frontend that it dialled
 * in the scratch. A nonzero id becomes the socket's backend.
 *
 * Not inline, so that it has a stack of its own (port_claim()).
 */
__noinline int host_socket_lost(ctx_t *ctx, __u32 id, __u32 generation)
{
	struct conn_scratch *scratch = conn_scratch();
	struct sock_frontend *s;
	struct bpf_sock *sk;
	struct sock_key key;

	if (!ctx || !scratch)
		return 0;
	sk = ctx->sk;
	if (!sk || sk->dst_port != bpf_htons(scratch->forward_key.dport))
		return 0;
	sockets_key(&key, bpf_get_socket_cookie(ctx),
		    &scratch->forward_key.daddr, scratch->forward_key.dport,
		    IPPROTO_UDP);
	s = bpf_map_lookup_elem(&sockets, &key);
	if (!s || s->netns_cookie || sockets_current(s))
		return 0;
	sockets_dialled(s, IPPROTO_UDP, &scratch->frontend);
	if (id) {
		s->backend_id = id;
		s->backend_generation = generation;
	}
	return 1;
}

/*
 * Finds or creates the flow of the saved packet, whose socket dialled the
 * scratch's frontend, and stores its entry in *c. STEP_NEXT, or the reason of
 * the failure.
 */
static __always_inline int host_socket_flow(ctx_t *ctx, const struct packet *p,
					    struct conn_scratch *s,
					    struct conn **c)
{
	struct frontend *f = bpf_map_lookup_elem(&frontends, &s->frontend);
	int step;

	if (!f || (f->flags & FRONTEND_ENDED))
		return REASON_REJECT_NO_BACKEND;
	*c = conn_lookup(&p->tuple);
	if (*c && ((*c)->flags & CONN_FORWARD) && ((*c)->flags & CONN_NODE) &&
	    service_follows(ctx, p, f, *c)) {
		conn_touch(ctx, *c, p);
		return STEP_NEXT;
	}
	step = service_begin(ctx, SCOPE_INTERNAL, DIALLED_BY_NODE);
	*c = &s->forward;
	if (step == STEP_CONNECTED)
		return STEP_NEXT;
	return step == STEP_NEXT ? REASON_REJECT_NO_BACKEND : step;
}

/* Makes ingress look for replies to this port of the node. */
static __always_inline void host_socket_expect(const struct conn *c)
{
	__u32 port = c->nat.sport, now = conn_now();
	__u32 *seen = bpf_map_lookup_elem(&host_udp_ports, &port);

	if (seen && *seen != now)
		*seen = now;
}

/*
 * Finds or creates the saved packet's flow; STEP_NEXT: send the packet with its
 * translation.
 */
static __always_inline int host_socket_step(ctx_t *ctx, const struct packet *p,
					    struct conn_scratch *s)
{
	struct conn *c = 0;
	int step = host_socket_flow(ctx, p, s, &c);

	if (step != STEP_NEXT || !c)
		return step;
	/*
	 * the backend has the sender's own address: the stack accepts no such
	 * packet
	 */
	if (c->flags & CONN_HAIRPIN)
		return REASON_REJECT_NO_BACKEND;
	/*
	 * the same destination again: a redirect would bring the packet back
	 * here
	 */
	if (addr_equal(&c->nat.daddr, &p->tuple.daddr) &&
	    c->nat.dport == p->tuple.dport) {
		s->forward_key = p->tuple;
		host_socket_lost(ctx, c->backend_id, c->backend_generation);
		return REASON_PASS_NOT_SERVICE;
	}
	host_socket_expect(c);
	return STEP_NEXT;
}

/*
 * The step for a packet of a connected UDP socket of the node: as above, with
 * the packet saved for host_socket_send(); REASON_PASS_NOT_SERVICE if the
 * socket is not ours. Global, so that the verifier checks it once, not for each
 * state of its caller, and its stack does not add to that of
 * host_socket_send().
 */
__noinline int host_socket_out(struct __sk_buff *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct packet p = {}, *saved;
	struct conn_scratch *s;

	if (!sk || !sk->dst_port)
		return REASON_PASS_NOT_SERVICE;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_UDP)
		return REASON_PASS_NOT_SERVICE;
	s = conn_scratch();
	if (!s || packet_parse(ctx, &p) != STEP_NEXT || p.fragment)
		return REASON_PASS_NOT_SERVICE;
	s->forward_key = p.tuple;
	if (!host_socket_lost(ctx, 0, 0))
		return REASON_PASS_NOT_SERVICE;
	saved = packet_save(&p);
	return saved ? host_socket_step(ctx, saved, s) : REASON_DROP_REWRITE;
}

/* Sends a refusal to the stack, not out by the device. */
static __always_inline int host_socket_refuse(ctx_t *ctx, struct packet *p,
					      int reason)
{
	reason = reject(ctx, p, reason);
	if ((reason == REASON_REJECT_NO_BACKEND ||
	     reason == REASON_REJECT_TOO_BIG) &&
	    p->action != TC_ACT_SHOT)
		p->action = (__u32)bpf_redirect(ctx->ifindex, BPF_F_INGRESS);
	return reason;
}

/*
 * Carries out the step of host_socket_out() for the saved packet. Returns an
 * action.
 */
__noinline int host_socket_send(struct __sk_buff *ctx, int step)
{
	struct packet *p = packet_saved();
	struct conn *c;

	if (!p)
		return ACTION_DROP;
	if (step == STEP_NEXT) {
		c = conn_lookup(&p->tuple);
		step = c ? forward(ctx, p, c, REASON_TO_REMOTE) :
			   REASON_DROP_STALE;
	}
	return finish(p, host_socket_refuse(ctx, p, step));
}

/*
 * Assigns the packet to the socket that the flow under the scratch's reverse
 * key belongs to. 0, or -1. Not inline, so that it has a stack of its own
 * (port_claim()).
 */
__noinline int host_socket_give(ctx_t *ctx, __u32 v4)
{
	struct conn_scratch *s = conn_scratch();
	struct bpf_sock_tuple t;
	struct bpf_sock *sk;
	struct conn *c;
	__u32 size;
	long failed = -1;

	c = ctx && s ? conn_lookup(&s->reverse_key) : 0;
	if (!c)
		return -1;
	size = sock_tuple(&c->nat, v4, &t);
	sk = bpf_sk_lookup_udp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return -1;
	/*
	 * only a socket connected to that peer, not another one with the port
	 */
	if (sk->dst_port == bpf_htons(c->nat.sport))
		failed = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return failed ? -1 : 0;
}

/* May the packet be a reply to a datagram of the node that TC translated? */
static __always_inline int host_socket_expects(const struct packet *p)
{
	__u32 port = p->tuple.dport;
	__u32 *seen;

	if (p->tuple.proto != IPPROTO_UDP || p->fragment)
		return 0;
	seen = bpf_map_lookup_elem(&host_udp_ports, &port);
	return seen && *seen && conn_now() - *seen <= HOST_SOCKET_SILENT * hz;
}

/* Handles a datagram that arrived by a device and is not for a frontend. */
static __always_inline int host_socket_back(ctx_t *ctx, const struct packet *p)
{
	struct conn_scratch *s = conn_scratch();
	struct conn *c;

	if (!s || !host_socket_expects(p))
		return STEP_NEXT;
	c = service_reply(p);
	if (!c || !(c->flags & CONN_NODE))
		return STEP_NEXT;
	s->reverse_key = p->tuple;
	if (host_socket_give(ctx, p->v4))
		return STEP_NEXT;
	conn_touch(ctx, c, p);
	return REASON_TO_LOCAL;
}

#endif
