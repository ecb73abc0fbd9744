/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tc.bpf.c - devices of the node and the host side of its pods' veths.
 *
 *   ml_from_netdev  in by a device of the node: packets to frontends, and replies
 *                   of backends on other nodes
 *   ml_to_netdev    out by one: replies of this node's backends
 *   ml_from_pod     out of a pod: packets to frontends, for UDP and for pods
 *                   whose sockets are not translated or not of this kernel
 *   ml_to_pod       into a pod: the replies to those
 */
#define MAGLANE_HOOK "hook-tc.h"
#ifndef MAGLANE_LINK
#define MAGLANE_LINK "link-ethernet.h"
#endif
#define MAGLANE_FORWARD "forward-tc.h"

#include "address.h"
#include "echo.h"
#include "finish.h"
#include "fragment-order.h"
#include "host-socket.h"
#include "own-leave.h"
#include "parse.h"
#include "pod-socket.h"
#include "reject.h"
#include "service.h"

/*
 * Returned for a packet that is neither TCP nor UDP: the saved packet may be an
 * ICMP error.
 */
#define STEP_RELATED (-3)
/*
 * Returned for the saved packet, which is to no frontend but may concern a
 * flow.
 */
#define STEP_DIRECT (-4)
/* The same, as actions, with values that the kernel does not use. */
#define ACTION_RELATED 0x100
#define ACTION_DIRECT 0x101

/*
 * Parses a received packet, checks that it is for this node, and puts its
 * fragments in order.
 */
static __always_inline int tc_parse(ctx_t *ctx, struct packet *p, int pod)
{
	int step = packet_parse(ctx, p);

	if (step == REASON_PASS_NOT_IP)
		return step;
	if (!ctx_is_ours(ctx, pod))
		return REASON_PASS_OTHER_HOST;
	return fragment_order(ctx, p, step);
}

/*
 * Handles a packet to a frontend, received in `scope`, or of a flow; else
 * STEP_NEXT.
 */
static __always_inline int tc_service(ctx_t *ctx, struct packet *p, __u8 scope)
{
	struct frontend *f;
	struct conn *c;

	if (!service_find(p, scope, &f, &c))
		return STEP_NEXT;
	/*
	 * fragment_order() has done so for known addresses; this frontend's may
	 * be none
	 */
	if (p->fragment == FRAGMENT_FIRST)
		fragment_remember(ctx, p);
	return service_step(ctx, p, f, c, scope, 0);
}

/*
 * Handles a packet that is neither TCP nor UDP, nor an error about a flow of
 * ours.
 */
static __always_inline int tc_other(ctx_t *ctx, struct packet *p, __u8 scope)
{
	int step;

	/* the tuple of an error is that of the quoted packet */
	if (p->related)
		return REASON_PASS_PROTOCOL;
	step = echo_step(ctx, p, scope);
	return step == REASON_PASS_NOT_SERVICE ? REASON_PASS_PROTOCOL : step;
}

/*
 * Handles a packet whose transport header is out of reach: to a service address
 * it counts as an unknown protocol.
 */
static __always_inline int tc_unread(const struct packet *p, __u8 scope)
{
	int step = address_step(p, scope);

	return step == REASON_PASS_NOT_SERVICE ? REASON_PASS_EXTENSIONS : step;
}

/*
 * The entry that an ICMP error travels by, or NULL. An error is no sign that
 * the flow is alive, so the entry is not touched.
 */
static __always_inline struct conn *tc_related(ctx_t *ctx,
					       struct packet *p)
{
	struct conn *c = related_parse(ctx, p) ? conn_lookup(&p->tuple) : 0;

	if (!c || (c->flags & CONN_OWN))
		return 0;
	return !(c->flags & CONN_FORWARD) || conn_owns(ctx, &p->tuple, c) ? c : 0;
}

/*
 * Handles an ICMP error that arrived by a device of the node: the saved packet.
 */
__noinline int from_netdev_related(ctx_t *ctx)
{
	struct packet *p = packet_saved();
	struct conn *c;

	if (!ctx || !p)
		return REASON_DROP_REWRITE;
	c = tc_related(ctx, p);
	if (!c)
		return tc_other(ctx, p, SCOPE_EXTERNAL);
	if (c->flags & CONN_FORWARD)
		return forward_request(ctx, p, c, SCOPE_EXTERNAL);
	if (!(c->flags & CONN_SNAT) ||
	    (c->flags & (CONN_HAIRPIN | CONN_LOCAL | CONN_NODE)))
		return REASON_PASS_PROTOCOL;
	return forward(ctx, p, c, REASON_TO_CLIENT);
}

static __always_inline int from_netdev_step(ctx_t *ctx, struct packet *p)
{
	int step;

	step = tc_parse(ctx, p, 0);
	if (step == REASON_PASS_PROTOCOL)
		return packet_save(p) ? STEP_RELATED : step;
	if (step == REASON_PASS_EXTENSIONS)
		return tc_unread(p, SCOPE_EXTERNAL);
	if (step != STEP_NEXT)
		return step;
	step = tc_service(ctx, p, SCOPE_EXTERNAL);
	if (step != STEP_NEXT)
		return step;
	if (host_socket_expects(p) && packet_save(p))
		return STEP_DIRECT;
	service_forget(p, 0);
	return address_step(p, SCOPE_EXTERNAL);
}

/*
 * Handles the saved packet, which arrived for no frontend and may be for a
 * socket of the node.
 */
__noinline int from_netdev_direct(ctx_t *ctx)
{
	struct packet *p = packet_saved();
	int step;

	if (!ctx || !p)
		return REASON_DROP_REWRITE;
	step = host_socket_back(ctx, p);
	return step == STEP_NEXT ? address_step(p, SCOPE_EXTERNAL) : step;
}

/* Handles an ICMP error of a pod about a reply to it: the saved packet. */
__noinline int from_pod_related(ctx_t *ctx)
{
	struct packet *p = packet_saved();
	struct conn *c;

	if (!ctx || !p)
		return REASON_DROP_REWRITE;
	c = tc_related(ctx, p);
	if (!c)
		return tc_other(ctx, p, SCOPE_INTERNAL);
	if (c->flags & CONN_FORWARD)
		return forward_request(ctx, p, c, SCOPE_INTERNAL);
	if (c->flags & CONN_HAIRPIN)
		return forward_hairpin(ctx, p, c);
	if (!forward_answers_here(c) || (c->flags & CONN_NODE))
		return REASON_PASS_PROTOCOL;
	return forward(ctx, p, c, REASON_TO_CLIENT);
}

static __always_inline int from_pod_step(ctx_t *ctx, struct packet *p)
{
	int step;

	step = tc_parse(ctx, p, 1);
	if (step == REASON_PASS_PROTOCOL)
		return packet_save(p) ? STEP_RELATED : step;
	if (step == REASON_PASS_EXTENSIONS)
		return tc_unread(p, SCOPE_INTERNAL);
	if (step != STEP_NEXT)
		return step;
	/*
	 * called before tc_service(), after which no registers are left, and not
	 * for datagrams, which would pay for the call
	 */
	if (p->tuple.proto == IPPROTO_TCP)
		p->silent = (__u8)pod_socket_silent(ctx, IPPROTO_TCP);
	step = tc_service(ctx, p, SCOPE_INTERNAL);
	if (step != STEP_NEXT)
		return step;
	if ((service_may_begin(p, 1) || p->silent) && packet_save(p))
		return STEP_DIRECT;
	return address_step(p, SCOPE_INTERNAL);
}

/* Sends a pod's datagram to another backend when its own is gone. */
static __always_inline int from_pod_dialled(ctx_t *ctx, struct packet *p)
{
	struct conn_scratch *s = conn_scratch();
	struct frontend *f;

	f = s ? bpf_map_lookup_elem(&frontends, &s->frontend) : 0;
	if (!f)
		return STEP_NEXT;
	if (p->fragment == FRAGMENT_FIRST)
		fragment_remember(ctx, p);
	return service_step(ctx, p, f, conn_lookup(&p->tuple), SCOPE_INTERNAL,
			    DIALLED_BY_POD);
}

/*
 * Handles the saved packet of a pod to no frontend: its socket may identify a
 * Service.
 */
__noinline int from_pod_direct(ctx_t *ctx)
{
	struct packet *p = packet_saved();
	int step;

	if (!ctx || !p)
		return REASON_DROP_REWRITE;
	step = pod_socket_step(ctx, p);
	if (step == STEP_DIALLED)
		step = from_pod_dialled(ctx, p);
	if (step == STEP_NEXT)
		step = host_socket_back(ctx, p);
	if (step != STEP_NEXT)
		return step;
	service_forget(p, 1);
	return address_step(p, SCOPE_INTERNAL);
}

/*
 * Handles replies that the stack has routed, and errors about the packets that
 * they answer: sets the frontend as their source again.
 */
static __always_inline int reply_step(ctx_t *ctx, struct packet *p)
{
	struct conn *c;
	int step;

	step = packet_parse(ctx, p);
	if (step == REASON_PASS_PROTOCOL && !related_parse(ctx, p))
		return step;
	if (step != STEP_NEXT && !p->related)
		return step;
	c = service_reply(p);
	if (!c || (c->flags & CONN_HAIRPIN)) {
		own_remember(ctx, p);
		return REASON_PASS_NOT_SERVICE;
	}
	if (p->fragment == FRAGMENT_FIRST)
		fragment_remember(ctx, p);
	if (!p->related)
		conn_touch(ctx, c, p);
	return translate(ctx, p, c, 0) ? REASON_DROP_REWRITE :
					 REASON_REPLY_ROUTED;
}

/* Global, for a stack of its own: see host_socket_out(). Returns an action. */
__noinline int tc_reply(struct __sk_buff *ctx)
{
	struct packet p = {};

	return finish(&p, reply_step(ctx, &p));
}

/*
 * Value of tc_index in a packet that a program of ours has translated and
 * redirected, until the egress hook of its device: the packet is neither a
 * reply nor of a flow of the node.
 */
#define TRANSLATED 0x6d6c

static __always_inline int tc_enter(ctx_t *ctx, struct packet *p, int reason)
{
	int action;

	if (reason == STEP_RELATED)
		return ACTION_RELATED;
	if (reason == STEP_DIRECT)
		return ACTION_DIRECT;
	action = finish(p, reject(ctx, p, reason));
	if (action == TC_ACT_REDIRECT)
		ctx->tc_index = TRANSLATED;
	else if (ctx_tc_index(ctx) == TRANSLATED)
		ctx->tc_index = 0; /* another classifier owns any other value */
	return action;
}

/* Ends the saved packet after a global function has handled it. */
static __always_inline int tc_saved(ctx_t *ctx, int reason)
{
	struct packet *p = packet_saved();

	return p ? tc_enter(ctx, p, reason) : ACTION_PASS;
}

static __always_inline int tc_leave(ctx_t *ctx)
{
	int step, action;

	if (ctx_tc_index(ctx) == TRANSLATED) {
		ctx->tc_index = 0;
		return ACTION_PASS;
	}
	step = host_socket_out(ctx);
	if (step == REASON_PASS_NOT_SERVICE)
		return tc_reply(ctx);
	action = host_socket_send(ctx, step);
	if (action == TC_ACT_REDIRECT)
		ctx->tc_index = TRANSLATED;
	return action;
}

/*
 * Global, so that its stack does not add to that of from_netdev_related().
 * Returns an action.
 */
__noinline int from_netdev_packet(struct __sk_buff *ctx)
{
	struct packet p = {};

	return tc_enter(ctx, &p, from_netdev_step(ctx, &p));
}

SEC("tc")
int ml_from_netdev(struct __sk_buff *ctx)
{
	int action;

	if (link_uncover(ctx, &action))
		return action;
	action = from_netdev_packet(ctx);
	if (action == ACTION_RELATED)
		return tc_saved(ctx, from_netdev_related(ctx));
	if (action == ACTION_DIRECT)
		return tc_saved(ctx, from_netdev_direct(ctx));
	return action;
}

SEC("tc")
int ml_to_netdev(struct __sk_buff *ctx)
{
	return tc_leave(ctx);
}

/*
 * Global, so that its stack does not add to that of from_pod_related(). Returns
 * an action.
 */
__noinline int from_pod_packet(struct __sk_buff *ctx)
{
	struct packet p = {};

	return tc_enter(ctx, &p, from_pod_step(ctx, &p));
}

SEC("tc")
int ml_from_pod(struct __sk_buff *ctx)
{
	int action = from_pod_packet(ctx);

	if (action == ACTION_RELATED)
		return tc_saved(ctx, from_pod_related(ctx));
	if (action == ACTION_DIRECT)
		return tc_saved(ctx, from_pod_direct(ctx));
	return action;
}

SEC("tc")
int ml_to_pod(struct __sk_buff *ctx)
{
	return tc_leave(ctx);
}

/*
 * The agent runs it twice, a known time apart, to measure the length of a
 * jiffy.
 */
SEC("tc")
int ml_clock(struct __sk_buff *ctx)
{
	(void)ctx;
	return (int)bpf_jiffies64();
}

char _license[] SEC("license") = "Dual BSD/GPL";
