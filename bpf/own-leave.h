/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * own-leave.h - the begin of a flow of own.h, at TC egress.
 */
#ifndef MAGLANE_OWN_LEAVE_H
#define MAGLANE_OWN_LEAVE_H

#include <linux/in.h>

#include "conn.h"
#include "frontend.h"
#include "packet.h"

#include MAGLANE_HOOK

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
