/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * finish.h - the end of every packet: counts its reason, returns its action.
 */
#ifndef MAGLANE_FINISH_H
#define MAGLANE_FINISH_H

#include "count.h"
#include "packet.h"

#include MAGLANE_HOOK

/* clang-format off */
/* A case for each reason of some classes; the others are left out. */
#define FINISH_CASE(name)      case REASON_##name:
#define FINISH_DROP_CASE(name) case REASON_DROP_##name:
#define FINISH_OTHER(name)

static __always_inline int finish(const struct packet *p, int reason)
{
	count((__u32)reason, p->len);
	switch (reason) {
	REASONS(FINISH_OTHER, FINISH_CASE, FINISH_OTHER, FINISH_OTHER,
		FINISH_OTHER)
		return (int)p->action;
	REASONS(FINISH_OTHER, FINISH_OTHER, FINISH_CASE, FINISH_DROP_CASE,
		FINISH_OTHER)
		return ACTION_DROP;
	default:
		return ACTION_PASS;
	}
}
/* clang-format on */

#endif
