/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * finish.h - the one end of a packet: counts its reason, returns its action.
 */
#ifndef MAGLANE_FINISH_H
#define MAGLANE_FINISH_H

#include <linux/pkt_cls.h>

#include "count.h"
#include "ctx.h"
#include "packet.h"

#ifdef MAGLANE_XDP
#define ACTION_PASS XDP_PASS
#define ACTION_DROP XDP_DROP
#else
/* Not OK but UNSPEC: programs of others behind ours see the packet too. */
#define ACTION_PASS TC_ACT_UNSPEC
#define ACTION_DROP TC_ACT_SHOT
#endif

static __always_inline int finish(const struct packet *p, int reason)
{
	count((__u32)reason, p->len);
	switch (reason) {
	case REASON_TO_REMOTE:
	case REASON_TO_CLIENT:
	case REASON_TO_SELF:
	case REASON_FRAGMENT_RELEASED:
	case REASON_ECHO:
	case REASON_REJECT_NO_BACKEND:
	case REASON_REJECT_NO_PORT:
	case REASON_REJECT_TOO_BIG:
		return (int)p->action;
	case REASON_DROP_NO_BACKEND:
	case REASON_DROP_FRAGMENT:
	case REASON_FRAGMENT_HELD:
	case REASON_DROP_MARTIAN:
	case REASON_DROP_NO_ADDRESS:
	case REASON_DROP_PROTOCOL:
	case REASON_DROP_SOURCE_RANGE:
	case REASON_DROP_TTL:
	case REASON_DROP_NO_PORT:
	case REASON_DROP_NO_ROUTE:
	case REASON_DROP_NO_SNAT_ADDR:
	case REASON_DROP_STALE:
	case REASON_DROP_REWRITE:
		return ACTION_DROP;
	default:
		/* malformed as well: the stack judges what is not known to be ours */
		return ACTION_PASS;
	}
}

#endif
