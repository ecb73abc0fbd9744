/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * translate.h - applies a flow's translation to its packet, or to an ICMP error
 * about it. XDP leaves errors to TC.
 */
#ifndef MAGLANE_TRANSLATE_H
#define MAGLANE_TRANSLATE_H

#include "ctx.h"
#include "packet.h"
#include "rewrite.h"
#ifndef MAGLANE_XDP
#include "related.h"
#endif

/* hops: 1 when this node forwards the packet itself. 0, or -1. */
static __always_inline int translate(ctx_t *ctx, const struct packet *p,
				     const struct conn *c, __u8 hops)
{
#ifndef MAGLANE_XDP
	if (p->related)
		return related_rewrite(ctx, p, c, hops);
#endif
	return rewrite(ctx, p, c, hops);
}

#endif
