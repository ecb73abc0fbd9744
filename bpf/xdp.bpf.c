/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * xdp.bpf.c - devices of the node: traffic to and from backends on other nodes,
 * which never needs this node's stack. All else is TC's, byte for byte as it came.
 */
#define MAGLANE_XDP

#include "finish.h"
#include "parse.h"
#include "service.h"

static __always_inline int xdp_step(ctx_t *ctx, struct packet *p)
{
	struct frontend *f;
	struct conn *c;
	int step;

	step = packet_parse(ctx, p);
	if (step != STEP_NEXT)
		return step;
	if (p->fragment == FRAGMENT_FIRST && fragment_awaited(p))
		return REASON_PASS_FRAGMENT;
	f = frontend_lookup(&p->tuple.daddr, p->tuple.dport, p->tuple.proto,
			    SCOPE_EXTERNAL);
	if (!f && !service_snat_port(p))
		return REASON_PASS_NOT_SERVICE;
	if (p->ttl <= 1)
		return REASON_PASS_FIB;
	if (service_csum_partial(ctx, p))
		return REASON_PASS_CHECKSUM;
	if (f) {
		step = service_forward(ctx, p, f, SCOPE_EXTERNAL);
		return step == REASON_REJECT_NO_BACKEND ?
			       REASON_PASS_NO_BACKEND :
			       step;
	}
	c = service_reply(p);
	if (!c || (c->flags & CONN_HAIRPIN))
		return REASON_PASS_NOT_SERVICE;
	conn_touch(c, p);
	return forward(ctx, p, c, REASON_TO_CLIENT);
}

SEC("xdp")
int ml_xdp(struct xdp_md *ctx)
{
	struct packet p = {};

	return finish(&p, xdp_step(ctx, &p));
}

char _license[] SEC("license") = "Dual BSD/GPL";
