/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * count.h - one counter per reason. Counting never changes a verdict.
 */
#ifndef MAGLANE_COUNT_H
#define MAGLANE_COUNT_H

#include "maps.h"

static __always_inline void count(__u32 reason, __u32 bytes)
{
	struct counter *c = bpf_map_lookup_elem(&counters, &reason);

	if (c) {
		c->packets++;
		c->bytes += bytes;
	}
}

#endif
