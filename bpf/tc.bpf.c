/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tc.bpf.c - devices of the node and the host side of its pods' veths.
 *
 *   ml_from_netdev  in by a device of the node: frontends, and replies of
 *                   backends on other nodes
 *   ml_to_netdev    out by one: replies of this node's backends
 *   ml_from_pod     out of a pod: frontends, for UDP and for pods whose
 *                   sockets are not this kernel's
 *   ml_to_pod       into a pod: the replies to that
 */
#include "address.h"
#include "echo.h"
#include "finish.h"
#include "parse.h"
#include "reject.h"
#include "service.h"

/* A packet to a frontend, reached from `scope`; STEP_NEXT when it is none. */
static __always_inline int tc_frontend(ctx_t *ctx, struct packet *p,
				       __u8 scope)
{
	struct frontend *f;

	f = frontend_lookup(&p->tuple.daddr, p->tuple.dport, p->tuple.proto,
			    scope);
	/* 127.0.0.1 in a packet is never the node's own */
	if (!f || (f->flags & FRONTEND_LOOPBACK))
		return STEP_NEXT;
	return service_forward(ctx, p, f, scope);
}

/* Neither TCP nor UDP, and no error about a flow of ours. */
static __always_inline int tc_other(ctx_t *ctx, struct packet *p, __u8 scope)
{
	int step;

	/* the tuple of an error is the quoted packet's */
	if (p->related)
		return REASON_PASS_PROTOCOL;
	step = echo_step(ctx, p, scope);
	return step == REASON_PASS_NOT_SERVICE ? REASON_PASS_PROTOCOL : step;
}

/* An ICMP error that came in by a device of the node. */
static __always_inline int from_netdev_related(ctx_t *ctx, struct packet *p)
{
	struct conn *c = service_related(ctx, p);

	if (!c)
		return tc_other(ctx, p, SCOPE_EXTERNAL);
	if (c->flags & CONN_FORWARD)
		return service_send(ctx, p, c, SCOPE_EXTERNAL);
	if (!(c->flags & CONN_SNAT) || (c->flags & (CONN_HAIRPIN | CONN_LOCAL)))
		return REASON_PASS_PROTOCOL;
	return forward(ctx, p, c, REASON_TO_CLIENT);
}

static __always_inline int from_netdev_step(ctx_t *ctx, struct packet *p)
{
	struct conn *c;
	int step;

	step = fragment_order(ctx, p, packet_parse(ctx, p));
	if (step == REASON_PASS_PROTOCOL)
		return from_netdev_related(ctx, p);
	if (step != STEP_NEXT)
		return step;
	step = tc_frontend(ctx, p, SCOPE_EXTERNAL);
	if (step != STEP_NEXT)
		return step;
	service_forget(p, 0);
	if (!service_snat_port(p))
		return address_step(p, SCOPE_EXTERNAL);
	c = service_reply(p);
	if (!c || (c->flags & (CONN_HAIRPIN | CONN_LOCAL)))
		return address_step(p, SCOPE_EXTERNAL);
	conn_touch(c, p);
	return forward(ctx, p, c, REASON_TO_CLIENT);
}

/* An ICMP error that a pod sends about a reply to it. */
static __always_inline int from_pod_related(ctx_t *ctx, struct packet *p)
{
	struct conn *c = service_related(ctx, p);

	if (!c)
		return tc_other(ctx, p, SCOPE_INTERNAL);
	if (c->flags & CONN_FORWARD)
		return service_send(ctx, p, c, SCOPE_INTERNAL);
	return c->flags & CONN_HAIRPIN ? forward_hairpin(ctx, p, c) :
					 REASON_PASS_PROTOCOL;
}

static __always_inline int from_pod_step(ctx_t *ctx, struct packet *p)
{
	struct conn *c;
	int step;

	step = fragment_order(ctx, p, packet_parse(ctx, p));
	if (step == REASON_PASS_PROTOCOL)
		return from_pod_related(ctx, p);
	if (step != STEP_NEXT)
		return step;
	step = tc_frontend(ctx, p, SCOPE_INTERNAL);
	if (step != STEP_NEXT)
		return step;
	service_forget(p, 1);
	if (!service_snat_port(p))
		return address_step(p, SCOPE_INTERNAL);
	c = service_reply(p);
	if (!c || !(c->flags & CONN_HAIRPIN))
		return address_step(p, SCOPE_INTERNAL);
	conn_touch(c, p);
	return forward_hairpin(ctx, p, c);
}

/*
 * Replies that the stack has routed, and errors about what they answer: the
 * frontend is their source again.
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
	if (!c || (c->flags & CONN_HAIRPIN))
		return REASON_PASS_NOT_SERVICE;
	if (!p->related)
		conn_touch(c, p);
	return translate(ctx, p, c, 0) ? REASON_DROP_REWRITE :
				       REASON_REPLY_ROUTED;
}

SEC("tc")
int ml_from_netdev(struct __sk_buff *ctx)
{
	struct packet p = {};

	return finish(&p, reject(ctx, &p, from_netdev_step(ctx, &p)));
}

SEC("tc")
int ml_to_netdev(struct __sk_buff *ctx)
{
	struct packet p = {};

	return finish(&p, reply_step(ctx, &p));
}

SEC("tc")
int ml_from_pod(struct __sk_buff *ctx)
{
	struct packet p = {};

	return finish(&p, reject(ctx, &p, from_pod_step(ctx, &p)));
}

SEC("tc")
int ml_to_pod(struct __sk_buff *ctx)
{
	struct packet p = {};

	return finish(&p, reply_step(ctx, &p));
}

/* Test-run twice, a known time apart, this tells the agent how long a jiffy is. */
SEC("tc")
int ml_clock(struct __sk_buff *ctx)
{
	(void)ctx;
	return (int)bpf_jiffies64();
}

char _license[] SEC("license") = "Dual BSD/GPL";
