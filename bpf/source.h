/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * source.h - loadBalancerSourceRanges: who may use a LoadBalancer's address.
 */
#ifndef MAGLANE_SOURCE_H
#define MAGLANE_SOURCE_H

#include "maps.h"
#include "packet.h"

/*
 * What comes from the address itself went to a load balancer first, which has
 * let it in.
 */
static __always_inline int source_allowed(const struct packet *p,
					  const struct frontend *f)
{
	struct source_range_key key = {
		.prefix_len = 8 * (sizeof(key.service_id) + sizeof(key.addr)),
		.service_id = f->service_id,
		.addr = p->tuple.saddr,
	};

	if (!(f->flags & FRONTEND_RANGES))
		return 1;
	return addr_equal(&p->tuple.saddr, &p->tuple.daddr) ||
	       bpf_map_lookup_elem(&source_ranges, &key);
}

#endif
