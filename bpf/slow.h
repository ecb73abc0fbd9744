/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * slow.h - slow paths as global functions.
 *
 * The verifier checks a global function once, and an inline one for each state
 * of its caller. Inline, new flows, refusals and the repair once a second took
 * 675 000 instructions of the million that it accepts. A global function takes
 * only the context and numbers, so the packet passes through a per-CPU map:
 * packet_save() writes it before the call, and the caller reads its action
 * afterwards.
 */
#ifndef MAGLANE_SLOW_H
#define MAGLANE_SLOW_H

#include "maps.h"
#include "packet.h"

static __always_inline struct packet *packet_saved(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&packet_scratches, &zero);
}

static __always_inline struct packet *packet_save(const struct packet *p)
{
	struct packet *saved = packet_saved();

	if (saved)
		*saved = *p;
	return saved;
}

#endif
